using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Http;
using Tandem.Core.Configuration;

namespace Tandem.Users.Look;

/// <summary>The languages that people are spoken to in. Each is read when somebody first wants it: a server that shows no page keeps none in memory.</summary>
sealed partial class Languages(PagesOptions options)
{
    // What a browser is set up with has a handful; each is looked for.
    const int MaxWanted = 20;

    const int MaxFileBytes = 1 << 20;

    public static readonly string[] BuiltIn = ["en", "de", "fr", "es"];

    static readonly object Key = new();

    readonly ConcurrentDictionary<string, Language> _read = new(StringComparer.OrdinalIgnoreCase);

    readonly Lazy<string[]> _tags = new(() => [.. BuiltIn.Union(FilesOf(options.Texts).Select(f => Path.GetFileNameWithoutExtension(f)), StringComparer.OrdinalIgnoreCase)]);

    /// <summary>What there is, English first.</summary>
    public string[] Tags => _tags.Value;

    public Language English => Read("en");

    /// <summary>The language of a request: what the client asked for (<see cref="Choose"/>), what the browser is set up with, or the one of the settings.</summary>
    public Language Of(HttpContext http)
    {
        if (http.Items.TryGetValue(Key, out var chosen))
            return (Language)chosen!; // Choose puts nothing else there
        var language = Match(Accepted(http.Request.Headers.AcceptLanguage.ToString())) ?? Named(options.Language);
        http.Items[Key] = language;
        return language;
    }

    /// <summary>Has the request be answered in a language that its client asks for, where there is one of them.</summary>
    /// <param name="uiLocales">Tags separated by blanks, the best first (OpenID Connect Core, 3.1.2.1).</param>
    public void Choose(HttpContext http, string? uiLocales)
    {
        if (uiLocales is { Length: > 0 and <= 1000 } && Match(uiLocales.Split(' ', MaxWanted + 1, StringSplitOptions.RemoveEmptyEntries).Take(MaxWanted)) is { } language)
            http.Items[Key] = language;
    }

    /// <summary>The language of a tag; of one that there is none of (any more) the settings'.</summary>
    public Language Named(string? tag) => tag is not null && Match([tag]) is { } language ? language : Read(options.Language);

    /// <summary>RFC 4647, 3.4: each is looked for, then with its last part left out, and so on, before the next one.</summary>
    Language? Match(IEnumerable<string> wanted)
    {
        foreach (var tag in wanted)
            for (var rest = tag; rest.Length > 0; rest = rest.LastIndexOf('-') is > 0 and var cut ? rest[..cut] : "")
                if (Tags.FirstOrDefault(t => t.Equals(rest, StringComparison.OrdinalIgnoreCase)) is { } known)
                    return Read(known);
        return null;
    }

    /// <summary>RFC 9110, 12.5.4: by weight, then in the order they stand in.</summary>
    static IEnumerable<string> Accepted(string header) => header.Split(',', MaxWanted + 1).Take(MaxWanted).Select(static part =>
    {
        var (tag, weight) = (part.Split(';')[0].Trim(), 1.0);
        if (part.IndexOf("q=", StringComparison.OrdinalIgnoreCase) is > 0 and var at && !double.TryParse(part.AsSpan(at + 2).Trim(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out weight))
            weight = 0;
        return (tag, weight);
    }).Where(p => p.weight > 0 && p.tag.Length is > 0 and <= 35).OrderByDescending(p => p.weight).Select(p => p.tag);

    Language Read(string tag) => _read.GetOrAdd(tag, ReadAnew);

    Language ReadAnew(string tag)
    {
        var behind = tag.Equals("en", StringComparison.OrdinalIgnoreCase) ? null : English;
        var language = BuiltIn.Contains(tag, StringComparer.OrdinalIgnoreCase) ? new Language(tag, Embedded(tag), behind) : null;
        return FileOf(tag) is { } file ? new Language(tag, Parse(File.ReadAllBytes(file), file), language ?? behind) : language ?? throw new InvalidOperationException($"There is no language {tag}.");
    }

    static FrozenDictionary<string, string> Embedded(string tag) => Parse(Encoding.UTF8.GetBytes(BuiltInText(tag)), tag);

    /// <summary>A language of the program, as the file that it is.</summary>
    public static string BuiltInText(string tag)
    {
        using var stream = typeof(Languages).Assembly.GetManifestResourceStream($"Languages.{tag}.json") ?? throw new InvalidOperationException($"The program was built without the language {tag}.");
        using var reader = new StreamReader(stream, Encoding.UTF8);
        return reader.ReadToEnd();
    }

    /// <summary>What stands in the program, for checks.</summary>
    public static IReadOnlyDictionary<string, string> BuiltInSentences(string tag) => Embedded(tag);

    static FrozenDictionary<string, string> Parse(byte[] json, string from)
    {
        try
        {
            using var document = JsonDocument.Parse(json, new JsonDocumentOptions { AllowDuplicateProperties = false, CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            return document.RootElement.EnumerateObject().ToFrozenDictionary(p => p.Name, p => p.Value.GetString() ?? throw new InvalidOperationException("null"));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new ConfigurationException($"Pages:Texts: {from} must be one JSON object whose members are strings, each there once: {e.Message}");
        }
    }

    string? FileOf(string tag) => FilesOf(options.Texts).FirstOrDefault(f => Path.GetFileNameWithoutExtension(f).Equals(tag, StringComparison.OrdinalIgnoreCase));

    static IEnumerable<string> FilesOf(string? folder) => folder is null ? [] : Directory.GetFiles(folder, "*.json").Order(StringComparer.Ordinal);

    /// <summary>Looks at the folder of the settings; without one nothing is read.</summary>
    /// <exception cref="ConfigurationException">A file in it cannot be used.</exception>
    public static void Check(PagesOptions options)
    {
        if (options.Texts is not null && !Directory.Exists(options.Texts))
            throw new ConfigurationException($"Pages:Texts must be a folder; there is none at \"{options.Texts}\".");
        foreach (var file in FilesOf(options.Texts))
        {
            var tag = Path.GetFileNameWithoutExtension(file);
            if (!Tag().IsMatch(tag))
                throw new ConfigurationException($"Pages:Texts: {file} must be named by a language, such as it.json or pt-BR.json.");
            if (new FileInfo(file).Length > MaxFileBytes)
                throw new ConfigurationException($"Pages:Texts: {file} has more than {MaxFileBytes} bytes.");
            foreach (var (key, sentence) in Parse(File.ReadAllBytes(file), file))
                if (Fault(key, sentence) is { } fault)
                    throw new ConfigurationException($"Pages:Texts: {file}: {fault}");
        }

        if (!BuiltIn.Concat(FilesOf(options.Texts).Select(f => Path.GetFileNameWithoutExtension(f))).Contains(options.Language, StringComparer.OrdinalIgnoreCase))
            throw new ConfigurationException($"Pages:Language is \"{options.Language}\", and there are no texts in it; there are {string.Join(", ", BuiltIn)}, and those of Pages:Texts.");
    }

    /// <returns>What is wrong with a sentence; null: nothing.</returns>
    static string? Fault(string key, string sentence)
    {
        if (!_english.Value.TryGetValue(key, out var english))
            return $"there is no text \"{key}\"; tandem texts lists them.";
        var (has, wants) = (NamesIn(sentence), NamesIn(english));
        if (sentence.Trim().Length == 0)
            return $"\"{key}\" is empty.";
        return wants.Except(has).FirstOrDefault() is { } missing ? $"\"{key}\" lacks {{{missing}}}, which its English text has: {english}"
            : has.Except(wants).FirstOrDefault() is { } extra ? $"\"{key}\" has {{{extra}}}, which is filled in with nothing; its English text is: {english}" : null;
    }

    // Only while files of the user's own are checked.
    static readonly Lazy<FrozenDictionary<string, string>> _english = new(() => Embedded("en"));

    public static IEnumerable<string> NamesIn(string sentence) => Names().Matches(sentence).Select(m => m.Groups[1].Value).Distinct();

    [GeneratedRegex(@"\{([a-z_]+)\}")]
    private static partial Regex Names();

    [GeneratedRegex("^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")]
    private static partial Regex Tag();
}
