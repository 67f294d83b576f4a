using System.CommandLine;
using Tandem.Core;

namespace Tandem.Users.Look;

/// <summary><c>tandem texts</c>: what the pages and mails say, to write one's own by.</summary>
static class TextsCommand
{
    public static Command Make(ICommandHost host)
    {
        var language = new Argument<string>("language") { Description = string.Join(", ", Languages.BuiltIn), DefaultValueFactory = _ => "en" };
        language.AcceptOnlyFromAmong(Languages.BuiltIn);
        var command = new Command("texts", "Print what pages and mails say in a language, as a file of Pages:Texts has it") { language };
        command.SetAction(parsed =>
        {
            parsed.InvocationConfiguration.Output.Write(Languages.BuiltInText(parsed.GetValue(language) ?? "en"));
            return 0;
        });
        return command;
    }
}
