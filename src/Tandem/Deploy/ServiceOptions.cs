using System.CommandLine;

namespace Tandem.Deploy;

/// <summary>What <c>deploy</c> and <c>restart</c> have in common: their options, and what they say about a wrong one.</summary>
static class ServiceOptions
{
    // Not required, and happy without a value: a missing name is a sentence and exit code 1, where the parser would end with 2.
    public static Option<string?> Service(string description) => new("--service") { Description = description, Arity = ArgumentArity.ZeroOrOne, HelpName = "NAME" };

    public static Option<string?> Version(string description) => new("--version") { Description = description, Arity = ArgumentArity.ZeroOrOne, HelpName = "V" };

    public static Option<string?> Namespace() => new("--namespace") { Description = "Where (default: the namespace that kubectl is set to)", HelpName = "NS" };

    /// <returns>False: it is no name of a namespace.</returns>
    public static bool TryReadNamespace(ParseResult parsed, Option<string?> option, out string? @namespace) =>
        (@namespace = parsed.GetValue(option)) is null || Manifest.IsName(@namespace);

    public static int Refuse(ParseResult parsed, string message)
    {
        parsed.InvocationConfiguration.Error.WriteLine($"tandem: {message}.");
        return 1;
    }

    public static int RefuseNamespace(ParseResult parsed, string? text) => Refuse(parsed, $"\"{text}\" is no name of a namespace: lower-case letters, digits and dashes, at most 63");

    public static int RefuseVersion(ParseResult parsed, string text) =>
        Refuse(parsed, $"\"{text}\" is no version: letters, digits, dots, dashes and underscores, at most 63, with a letter or digit at both ends");

    public static int RefuseWithoutKubectl(ParseResult parsed) =>
        Refuse(parsed, "kubectl is not installed, or not in PATH; install it from https://kubernetes.io/docs/tasks/tools and call this again");
}
