using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Tandem.Core.Http;

namespace Tandem;

/// <summary><c>tandem config</c>: every setting, its value in force and where that comes from.</summary>
static class ConfigCommand
{
    // A setting whose name ends like this is never shown.
    static readonly string[] Secret = ["Password", "Secret", "ConnectionString", "Token", "ApiKey"];

    public static Command Make(TandemApp app)
    {
        var json = new Option<bool>("--json") { Description = "Print JSON" };
        var command = new Command("config", "Show every setting, the value in force and where it comes from") { json };
        command.SetAction(parsed => Print(app, parsed.GetValue(json)));
        return command;
    }

    static int Print(TandemApp app, bool json)
    {
        var settings = Read(app).ToList();
        if (json)
        {
            Console.WriteLine(JsonSerializer.Serialize(settings, new JsonSerializerOptions(Json.Options) { WriteIndented = true }));
            return 0;
        }

        var (key, value) = (settings.Max(s => s.Key.Length), Math.Min(48, settings.Max(s => s.Value.Length)));
        foreach (var setting in settings)
            Console.WriteLine($"{setting.Key.PadRight(key)}  {setting.Value.PadRight(value)}  {setting.Source}");
        return 0;
    }

    static IEnumerable<Setting> Read(TandemApp app)
    {
        var sources = app.Parts.Settings.Sources;
        yield return new("Urls", app.Server.Urls, sources.SourceOf("Urls"));
        yield return new("Data", Path.GetFullPath(app.Server.Data), sources.SourceOf("Data"));
        yield return new("Roles", app.Server.Roles is { } roles ? string.Join(',', roles) : "all", sources.SourceOf("Roles"));
        foreach (var (section, options) in app.Parts.Settings.Sections.OrderBy(s => s.Section, StringComparer.Ordinal))
            foreach (var setting in Read(sources, section, options))
                yield return setting;
    }

    static IEnumerable<Setting> Read(Core.Configuration.ConfigurationSources sources, string path, object options)
    {
        foreach (var property in options.GetType().GetProperties())
        {
            var (key, value) = ($"{path}:{property.Name}", property.GetValue(options));
            if (value is not null && value.GetType() is { IsClass: true, Namespace: { } space } && space.StartsWith("Tandem", StringComparison.Ordinal))
                foreach (var nested in Read(sources, key, value))
                    yield return nested;
            else
                yield return new(key, Show(property.Name, value), sources.SourceOf(key));
        }
    }

    static string Show(string name, object? value) => value switch
    {
        null => "-",
        _ when Secret.Any(s => name.EndsWith(s, StringComparison.OrdinalIgnoreCase)) => "(set)",
        string text => text,
        System.Collections.IDictionary map => map.Count == 0 ? "-" : string.Join(',', map.Keys.Cast<object>()),
        System.Collections.IEnumerable list => string.Join(',', list.Cast<object>()) is { Length: > 0 } text ? text : "-",
        _ => Convert.ToString(value, CultureInfo.InvariantCulture) ?? "-",
    };

    sealed record Setting(string Key, string Value, string Source);
}
