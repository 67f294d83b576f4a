using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using Tandem.Core.Contracts;
using Tandem.Users.Look;

namespace Tandem.Users.Mailing;

/// <summary>Makes mails out of texts: the first line is the subject, then come paragraphs with empty lines between them.</summary>
/// <remarks>
/// {names} are filled in; a paragraph that is {link} or {code} alone stands out in HTML, and one whose {names} all have nothing to be filled in with is left out. A file in
/// <see cref="MailOptions.Texts"/> takes the place of ours with its name, in every language; otherwise they are sentences of <see cref="Language"/>, <c>mail.reset</c> and so on.
/// </remarks>
sealed partial class Letters(MailOptions options)
{
    readonly ConcurrentDictionary<string, string?> _own = new();

    /// <param name="to">The address.</param>
    /// <param name="language">Of whoever reads it.</param>
    /// <param name="text">Which one: <c>reset</c>, <c>verify</c>, …</param>
    /// <param name="values">What {names} stand for; null: nothing.</param>
    public Mail Write(string to, Language language, string text, params ReadOnlySpan<(string Name, string? Value)> values)
    {
        var known = new Dictionary<string, string?> { ["product"] = options.Product };
        foreach (var (name, value) in values)
            known[name] = value;
        var paragraphs = (_own.GetOrAdd(text, ReadOwn) ?? language.Find($"mail.{text}") ?? throw new InvalidOperationException($"There is no text {text}.")).ReplaceLineEndings("\n").Split("\n\n", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        var (plain, html) = (new StringBuilder(), new StringBuilder());
        foreach (var paragraph in paragraphs[1..])
        {
            if (Names().Matches(paragraph) is { Count: > 0 } names && names.All(n => known.GetValueOrDefault(n.Groups[1].Value) is null))
                continue;
            plain.Append(plain.Length == 0 ? "" : "\n\n").Append(Fill(paragraph, known, v => v));
            html.Append(paragraph switch
            {
                "{link}" => $"<p><a href=\"{Encode(known["link"]!)}\" style=\"{Button}\">{Encode(Fill(paragraphs[0], known, v => v))}</a></p><p style=\"{Small}\">{Encode(known["link"]!)}</p>", // left out above when there is none
                "{code}" => $"<p style=\"{Large}\">{Encode(known["code"]!)}</p>",
                _ => $"<p>{Fill(Encode(paragraph), known, Encode).Replace("\n", "<br>")}</p>",
            });
        }

        return new Mail(to, Fill(paragraphs[0], known, v => v).Replace('\n', ' '), plain.Append('\n').ToString(),
            $"<!doctype html><html><body style=\"{Body}\">{html}</body></html>");
    }

    string? ReadOwn(string text) => options.Texts is { } folder && Path.Combine(folder, text + ".txt") is var own && File.Exists(own) ? File.ReadAllText(own) : null;

    static string Fill(string text, Dictionary<string, string?> values, Func<string, string> encode) =>
        Names().Replace(text, m => values.TryGetValue(m.Groups[1].Value, out var value) ? encode(value ?? "") : m.Value);

    static string Encode(string text) => WebUtility.HtmlEncode(text);

    // Mail programs read no style sheets.
    const string Body = "font: 16px/1.5 system-ui, sans-serif; max-width: 34em; margin: 2em auto; padding: 0 1em";
    const string Button = "display: inline-block; padding: .6em 1.2em; color: #fff; background: #14507a; border-radius: .25em; text-decoration: none; font-weight: 600";
    const string Large = "font-size: 2em; font-weight: 600; letter-spacing: .1em";
    const string Small = "font-size: .8em; color: #666; word-break: break-all";

    [GeneratedRegex(@"\{([a-z_]+)\}")]
    private static partial Regex Names();
}
