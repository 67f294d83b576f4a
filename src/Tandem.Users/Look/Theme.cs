using System.Security.Cryptography;
using System.Text;
using Tandem.Users.Mailing;
using static Tandem.Users.Pages;

namespace Tandem.Users.Look;

/// <summary>How the pages look, made of the settings with the first page that is shown.</summary>
sealed class Theme(PagesOptions options, MailOptions mail)
{
    readonly Lazy<(string Style, string Hash)> _style = new(() => StyleOf(options));
    readonly Lazy<string?> _logo = new(options.LogoAddress);

    public string Product => options.Product ?? mail.Product;

    public string Style => _style.Value.Style;

    /// <summary>What a policy says of styles and pictures.</summary>
    public string Policy => $"style-src '{_style.Value.Hash}'; {(options.Logo is null && options.StyleSheet is null ? "" : "img-src data:; ")}";

    /// <summary>HTML above a page.</summary>
    public string Header => _logo.Value is { } logo ? $"<header><img class=\"logo\" src=\"{logo}\" alt=\"{Encode(Product)}\"></header>\n" : "";

    /// <summary>HTML below a page.</summary>
    public string Footer(Language t)
    {
        var links = new[] { (t.Say("foot.terms"), options.Terms), (t.Say("foot.privacy"), options.Privacy), (t.Say("foot.support"), options.Support is { } to && !to.Contains("://", StringComparison.Ordinal) ? $"mailto:{to}" : options.Support) };
        return links.All(l => l.Item2 is null) ? "" : $"\n<footer><ul>{string.Concat(links.Where(l => l.Item2 is not null).Select(l => $"<li><a href=\"{Encode(l.Item2!)}\">{Encode(l.Item1)}</a></li>"))}</ul></footer>"; // those that are there
    }

    public static string HashOf(string text) => $"sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(text)))}";

    static (string, string) StyleOf(PagesOptions o)
    {
        var style = $$"""
            :root { color-scheme: light dark; --accent: light-dark({{o.Accent}}, {{o.AccentDark}}); --on-accent: light-dark({{PagesOptions.On(o.Accent)}}, {{PagesOptions.On(o.AccentDark)}}); --text: light-dark({{o.Text}}, {{o.TextDark}}); --background: light-dark({{o.Background}}, {{o.BackgroundDark}}); --wrong: light-dark({{PagesOptions.Wrong}}, {{PagesOptions.WrongDark}}); }
            {{Rules}}
            {{o.ReadStyleSheet()}}
            """;
        return (style, HashOf(style));
    }

    const string Rules = """
        body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--background); }
        main, header, footer, nav { max-width: 34rem; margin: 0 auto; padding: 0 1.25rem; }
        main { margin-block: 8vh 3rem; overflow-wrap: anywhere; }
        header { padding-top: 2rem; }
        header + main, nav + main { margin-top: 2rem; }
        h1 { font-size: 1.75rem; line-height: 1.25; }
        h2 { margin: 2rem 0 .5rem; font-size: 1.25rem; }
        a { color: var(--accent); }
        .logo { max-width: 100%; max-height: 4rem; }
        nav { padding-top: 1.5rem; }
        nav ul, footer ul, ul.list { padding: 0; list-style: none; }
        nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0; }
        nav a { display: inline-block; padding: .25rem 0; }
        nav a[aria-current] { color: inherit; font-weight: 600; }
        footer { padding-bottom: 2rem; font-size: .9rem; }
        footer ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
        ul.list > li { padding: .75rem 0; border-top: 1px solid #767676; }
        ul.list p { margin: 0; }
        label { display: block; margin-top: 1rem; font-weight: 600; }
        input, select { box-sizing: border-box; width: 100%; padding: .5rem; font: inherit; color: inherit; background: transparent; border: 1px solid #767676; border-radius: .25rem; }
        option { color: var(--text); background: var(--background); }
        input[aria-invalid] { border-color: var(--wrong); }
        button { margin: 1rem .5rem 0 0; padding: .6rem 1.25rem; font: inherit; font-weight: 600; color: var(--on-accent); background: var(--accent); border: 1px solid var(--accent); border-radius: .25rem; cursor: pointer; }
        ul.list button { margin-top: .5rem; }
        a.button { display: inline-block; margin: .5rem 0 0; padding: .6rem 1.25rem; font-weight: 600; color: var(--on-accent); background: var(--accent); border: 1px solid var(--accent); border-radius: .25rem; text-decoration: none; }
        button.second, a.button.second { color: inherit; background: transparent; border-color: #767676; }
        :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
        .wrong { margin: .25rem 0 0; color: var(--wrong); }
        .done { padding: .5rem .75rem; border-inline-start: .25rem solid var(--accent); }
        .quiet { font-size: .9rem; }
        .codes { columns: 12rem; padding-inline-start: 1.25rem; }
        code { overflow-wrap: anywhere; }
        svg { display: block; max-width: 100%; height: auto; margin-top: 1rem; }
        pre { overflow-x: auto; padding: .75rem; background: light-dark(#f0f0f0, #262626); border-radius: .25rem; }
        """;
}
