using Microsoft.Extensions.Configuration;
using Tandem.Core.Configuration;

namespace Tandem;

/// <summary>The settings that have a short name on the command line.</summary>
/// <param name="Urls">Where to listen, separated by semicolons.</param>
/// <param name="Data">The data directory.</param>
/// <param name="Roles">Which modules serve in this process; null: all.</param>
sealed record ServerOptions(string Urls, string Data, IReadOnlySet<string>? Roles)
{
    public const string DefaultUrls = "http://127.0.0.1:8080";
    public const string DefaultData = "data";

    /// <summary>Keys at the top level that are no section of a module.</summary>
    public static readonly string[] Keys = ["Urls", "Data", "Roles"];

    public static ServerOptions Read(IConfiguration configuration)
    {
        var urls = configuration["Urls"] ?? DefaultUrls;
        foreach (var url in urls.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            if (!Uri.TryCreate(url.Replace("//*", "//localhost").Replace("//+", "//localhost"), UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https"))
                throw new ConfigurationException($"Urls: \"{url}\" is no address to listen on; write one like {DefaultUrls}.");
        var roles = configuration["Roles"]?.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).ToHashSet(StringComparer.OrdinalIgnoreCase);
        return new ServerOptions(urls, configuration["Data"] ?? DefaultData, roles is { Count: > 0 } ? roles : null);
    }

    public bool Runs(string module) => Roles is null || Roles.Contains(module);
}

/// <summary>The command line split into settings and the words of a command.</summary>
sealed record ProgramArguments(Dictionary<string, string?> Settings, string[] Words)
{
    static readonly Dictionary<string, string> Short = new(StringComparer.OrdinalIgnoreCase)
    {
        ["--urls"] = "Urls",
        ["--data"] = "Data",
        ["--roles"] = "Roles",
        ["--postgres"] = "Postgres:ConnectionString",
        ["--redis"] = "Redis:ConnectionString",
        ["--kafka"] = "Kafka:BootstrapServers",
    };

    public static ProgramArguments Read(string[] args)
    {
        var (settings, words) = (new Dictionary<string, string?>(StringComparer.OrdinalIgnoreCase), new List<string>());
        for (var i = 0; i < args.Length; i++)
        {
            var (name, value) = args[i].Split('=', 2) is [var n, var v] && n.StartsWith("--", StringComparison.Ordinal) ? (n, v) : (args[i], null);
            if (!name.StartsWith("--", StringComparison.Ordinal) || !name.Contains(':') && !Short.ContainsKey(name))
            {
                words.Add(args[i]);
                continue;
            }

            if (value is null && ++i >= args.Length)
                throw new ConfigurationException($"{name} needs a value: {name} VALUE.");
            settings[Short.GetValueOrDefault(name) ?? name[2..]] = value ?? args[i];
        }

        return new ProgramArguments(settings, [.. words]);
    }
}
