using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Tandem.Core;

namespace Tandem.Users.CommonPasswords;

/// <summary><c>tandem password-filter …</c>: lists of passwords that nobody may take.</summary>
static class PasswordFilterCommand
{
    public static Command Make(ICommandHost _) => new("password-filter", "Make and ask lists of leaked passwords, for Users:PasswordFilter") { Build(), Check() };

    static Command Build()
    {
        var file = new Argument<FileInfo>("FILE") { Description = "The list: lines of SHA-1:COUNT, as Have I Been Pwned's downloader writes them" };
        file.AcceptExistingOnly();
        var target = new Option<string>("--out") { Description = "The filter (default: passwords.filter)", DefaultValueFactory = _ => "passwords.filter" };
        var words = new Option<bool>("--words") { Description = "Lines are passwords; those shorter than 8 characters are left out" };
        var least = new Option<int>("--min-count") { Description = "Leave out what was seen less often (default 1)", DefaultValueFactory = _ => 1 };
        least.Validators.Add(r => UserCommands.Between(r, least, 1, int.MaxValue));
        var wrong = new Option<double>("--false-positives")
        {
            Description = "Which share of other passwords it may refuse as well, 0.0000001 to 0.1 (default 0.001); ten times fewer take 4.8 bits more for each entry",
            DefaultValueFactory = _ => 0.001,
        };
        wrong.Validators.Add(r =>
        {
            if (r.GetValueOrDefault<double>() is not (>= 1e-7 and <= 0.1))
                r.AddError("--false-positives must be between 0.0000001 and 0.1");
        });
        var command = new Command("build", "Make a filter of a list of any size") { file, target, words, least, wrong };
        command.SetAction((parsed, ct) => Task.FromResult(BuildFrom(parsed, parsed.GetRequiredValue(file).FullName, parsed.GetRequiredValue(target), parsed.GetValue(words), parsed.GetValue(least), parsed.GetValue(wrong), ct)));
        return command;
    }

    static int BuildFrom(ParseResult parsed, string source, string target, bool areWords, int minCount, double falsePositives, CancellationToken ct)
    {
        var (error, told) = (parsed.InvocationConfiguration.Error, 0);
        void Report(double share, long entries)
        {
            // A line for each tenth: as readable in a file as on a terminal.
            if ((int)(share * 10) is var tenth && tenth > told)
                error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{(told = tenth) * 10,3} %  {entries:N0} entries"));
        }

        try
        {
            var (entries, bytes) = new FilterMaker(source, areWords, minCount, Report).Make(target, falsePositives, ct);
            UserCommands.Out(parsed).WriteLine(string.Create(CultureInfo.InvariantCulture, $"{target}: {entries:N0} passwords in {bytes:N0} bytes; to use it, set Users:PasswordFilter to its path"));
            return 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException or System.Text.DecoderFallbackException)
        {
            return UserCommands.Refuse(parsed, e.Message);
        }
        finally
        {
            File.Delete(target + ".part");
        }
    }

    static Command Check()
    {
        var file = new Argument<FileInfo?>("FILE") { Description = "A filter (default: the list that the program has with it)", Arity = ArgumentArity.ZeroOrOne };
        var command = new Command("check", "Read passwords from standard input, one a line, and say which are in a filter") { file };
        command.SetAction(parsed =>
        {
            try
            {
                using var filter = parsed.GetValue(file) is { } given ? PasswordFilter.Open(given.FullName) : CommonPasswordCheck.Common();
                while (Console.In.ReadLine() is { } password)
                    UserCommands.Out(parsed).WriteLine(filter.Contains(password) || filter.Contains(password.ToLowerInvariant()) ? "listed" : "not listed");
                return 0;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
            {
                return UserCommands.Refuse(parsed, e.Message);
            }
        });
        return command;
    }
}
