using System.Globalization;
using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Events;
using Tandem.Core.Http;

namespace Tandem.Tests.Repo;

/// <summary>docs/reference is made from the code, so that it cannot be wrong.</summary>
public sealed partial class ReferenceTests
{
    static readonly string[] Assemblies = ["Tandem.Core", "Tandem.Gateway", "Tandem.Users", "Tandem.Inference", "Tandem.Reports", "Tandem.Realtime", "Tandem.Kafka", "Tandem"];

    [Fact]
    public async Task Every_setting_stands_in_the_reference()
    {
        await using var app = await TestApp.StartAsync();
        var text = new StringBuilder("""
            # Settings

            Made from the code. A setting is `Section:Key` in `tandem.json`, `TANDEM_SECTION__KEY` in the environment and `--Section:Key VALUE` on the
            command line; the later of these wins. `./run config` shows what is in force and where it comes from. Durations are `d.hh:mm:ss`.

            | setting | default | what it does |
            | --- | --- | --- |
            | `Urls` (`--urls`) | `http://127.0.0.1:8080` | Where to listen; several are separated by semicolons. |
            | `Data` (`--data`) | `data` | The data directory. |
            | `Roles` (`--roles`) | all | The modules that serve in this process, separated by commas; `app` is what is mapped outside of modules. |

            """.ReplaceLineEndings("\n"));
        foreach (var (section, options) in app.Services.GetRequiredService<Parts>().Settings.Sections.OrderBy(s => s.Section, StringComparer.Ordinal))
        {
            text.Append(CultureInfo.InvariantCulture, $"\n## {section}\n\n| setting | default | what it does |\n| --- | --- | --- |\n");
            Describe(text, section, Activator.CreateInstance(options.GetType())!);
        }

        Repository.ShouldSay("docs/reference/settings.md", text.ToString());
    }

    [Fact]
    public void Every_problem_stands_in_the_reference()
    {
        var problems = Types().SelectMany(t => t.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic))
            .Where(f => f.FieldType == typeof(Problem) && f.IsInitOnly)
            .Select(f => (Problem)f.GetValue(null)!)
            .OrderBy(p => p.Code, StringComparer.Ordinal).ToList();
        Assert.Equal(problems.Count, problems.Select(p => p.Code).Distinct().Count());
        var text = new StringBuilder("""
            # Problems

            Made from the code. Every error is RFC 9457 `application/problem+json`: `type` is the stable code below, `detail` a sentence, `errors` (422)
            has the messages per field, and `trace_id` finds the request in the log.

            | type | status | detail |
            | --- | --- | --- |

            """.ReplaceLineEndings("\n"));
        foreach (var problem in problems)
            text.Append(CultureInfo.InvariantCulture, $"| `{problem.Code}` | {problem.Status} | {problem.Detail.Replace("|", "\\|")} |\n");
        Repository.ShouldSay("docs/reference/problems.md", text.ToString());
    }

    [Fact]
    public void Every_event_stands_in_the_reference()
    {
        var text = new StringBuilder("# Events\n\nMade from the code. Payloads are JSON in snake_case; events with the same key are handled in order.\n");
        foreach (var type in Types().Where(t => t.GetCustomAttribute<EventAttribute>() is not null).OrderBy(t => t.GetCustomAttribute<EventAttribute>()!.Name, StringComparer.Ordinal))
        {
            var @event = type.GetCustomAttribute<EventAttribute>()!;
            text.Append(CultureInfo.InvariantCulture, $"\n## {@event.Name}\n\n{Summary("T:" + type.FullName, type.Assembly)}\n\n| member | type |\n| --- | --- |\n");
            foreach (var property in type.GetProperties())
                text.Append(CultureInfo.InvariantCulture, $"| `{Json.Options.PropertyNamingPolicy!.ConvertName(property.Name)}` | {JsonFaults.Described(property.PropertyType)} |\n");
        }

        Repository.ShouldSay("docs/reference/events.md", text.ToString());
    }

    static void Describe(StringBuilder text, string path, object options)
    {
        foreach (var property in options.GetType().GetProperties())
        {
            var (key, value) = ($"{path}:{property.Name}", property.GetValue(options));
            if (value is not null && value.GetType() is { IsClass: true, Namespace: { } space } && space.StartsWith("Tandem", StringComparison.Ordinal))
                Describe(text, key, value);
            else
                text.Append(CultureInfo.InvariantCulture, $"| `{key}` | {Default(value)} | {Summary($"P:{property.DeclaringType!.FullName!.Replace('+', '.')}.{property.Name}", property.DeclaringType.Assembly)} |\n");
        }
    }

    static string Default(object? value) => value switch
    {
        null => "–",
        System.Collections.ICollection { Count: 0 } => "–",
        string text => $"`{text}`",
        System.Collections.IEnumerable list => $"`{string.Join(", ", list.Cast<object>())}`",
        _ => $"`{Convert.ToString(value, CultureInfo.InvariantCulture)}`",
    };

    static IEnumerable<Type> Types() => Assemblies.SelectMany(a => Assembly.Load(a).GetTypes());

    static string Summary(string member, Assembly assembly)
    {
        var file = Path.Combine(AppContext.BaseDirectory, assembly.GetName().Name + ".xml");
        var summary = XDocument.Load(file).Descendants("member").FirstOrDefault(m => (string?)m.Attribute("name") == member)?.Element("summary");
        Assert.True(summary is not null, $"{member} has no summary.");
        var text = string.Concat(summary.Nodes().Select(n => n is XElement e ? $"`{(string?)e.Attribute("cref") ?? (string?)e.Attribute("name") ?? e.Value}`" : n.ToString()));
        return Spaces().Replace(System.Net.WebUtility.HtmlDecode(text), " ").Trim().Replace("|", "\\|");
    }

    [GeneratedRegex(@"\s+")]
    private static partial Regex Spaces();
}
