using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using Tandem.Bench.Results;

namespace Tandem.Bench.Reports;

/// <summary>Writes a run's report beside its measurements: <c>report.md</c> with the tables, <c>report.html</c> with the charts as well, nothing loaded from anywhere.</summary>
static partial class ReportFiles
{
    const string Style = """
        :root { color-scheme: light dark; --back: #fff; --ink: #1c2330; --soft: #5d6778; --line: #d9dee7; --panel: #f6f8fb; }
        @media (prefers-color-scheme: dark) { :root { --back: #12161d; --ink: #e6eaf1; --soft: #9aa5b6; --line: #2d3542; --panel: #191f29; } }
        body { background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; max-width: 90rem; margin: 2rem auto; padding: 0 1rem; }
        h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1.2rem; }
        p, figure, nav { max-width: 62rem; box-sizing: border-box; } figure { margin: 1.2rem 0; padding: .8rem; background: var(--panel); border: 1px solid var(--line); border-radius: 8px; }
        figcaption { font-weight: 600; margin-bottom: .4rem; } figcaption + p { margin: 0 0 .4rem; color: var(--soft); font-size: .9rem; }
        nav { columns: 2; font-size: .9rem; } nav a { display: block; color: inherit; } .met { color: #1e7d45; font-weight: 600; } .missed { color: #c0392b; font-weight: 600; }
        @media (prefers-color-scheme: dark) { .met { color: #5cc98a; } .missed { color: #ff8272; } } svg { max-width: 100%; height: auto; display: block; }
        .scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .82rem; margin-bottom: 1rem; } th { text-align: right; color: var(--soft); font-weight: 600; }
        th, td { padding: .3rem .45rem; border-bottom: 1px solid var(--line); vertical-align: top; } td { text-align: right; white-space: nowrap; }
        th:first-child, td:first-child, table.wide th, table.wide td { text-align: left; } table.wide td { white-space: normal; } td.long { white-space: normal; min-width: 12rem; text-align: left; }
        pre { font-size: .8rem; background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .8rem; overflow-x: auto; }
        code { font-size: .9em; background: var(--panel); overflow-wrap: anywhere; }
        """;

    /// <summary>Characters: longer than any figure with its range.</summary>
    const int LongCell = 32;

    /// <returns>The files.</returns>
    public static (string Markdown, string Html) Write(RunDirectory directory)
    {
        var (run, cells) = directory.Read();
        var page = new PageMaker(run, cells).Make();
        var (markdown, html) = (Path.Combine(directory.Path, "report.md"), Path.Combine(directory.Path, "report.html"));
        File.WriteAllText(markdown, Markdown(page));
        File.WriteAllText(html, Html(page));
        return (markdown, html);
    }

    public static string Markdown(Page page)
    {
        var text = new StringBuilder($"# {page.Title}\n");
        foreach (var line in page.Lead)
            text.Append($"\n{line}\n");
        foreach (var section in page.Sections)
            Append(text, section, "##");
        return text.ToString();
    }

    /// <summary>A section as Markdown, under a heading of that level.</summary>
    public static void Append(StringBuilder text, Section section, string level)
    {
        text.Append($"\n{level} {section.Title}\n");
        foreach (var line in section.Text)
            text.Append($"\n{line}\n");
        foreach (var table in section.Tables)
        {
            text.Append($"\n| {string.Join(" | ", table.Head)} |\n|{string.Concat(Enumerable.Repeat(" --- |", table.Head.Length))}\n");
            foreach (var row in table.Rows)
                text.Append($"| {string.Join(" | ", row.Select(c => c.Replace("|", "\\|", StringComparison.Ordinal).ReplaceLineEndings(" ")))} |\n");
        }

        foreach (var (name, listing) in section.Listings)
            text.Append($"\n{name}:\n\n```\n{listing.TrimEnd()}\n```\n");
    }

    public static string Html(Page page)
    {
        var text = new StringBuilder($"""
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
            <title>{Inline(page.Title)}</title><style>
            {Style}
            </style></head><body>
            <h1>{Inline(page.Title)}</h1>

            """);
        foreach (var line in page.Lead)
            text.Append($"<p>{Inline(line)}</p>\n");
        text.Append($"<nav>{string.Concat(page.Sections.Index().Select(s => $"<a href=\"#s{s.Index}\">{Inline(s.Item.Title)}</a>"))}</nav>\n");
        foreach (var (number, section) in page.Sections.Index())
        {
            text.Append($"<section id=\"s{number}\"><h2>{Inline(section.Title)}</h2>\n");
            foreach (var line in section.Text)
                text.Append($"<p>{Inline(line)}</p>\n");
            foreach (var chart in section.Charts)
                text.Append($"<figure role=\"img\" aria-label=\"{Inline(chart.Caption)}\"><figcaption>{Inline(chart.Caption)}</figcaption>\n{(chart.See.Length > 0 ? $"<p>{Inline(chart.See)}</p>\n" : "")}{chart.Svg}</figure>\n");
            foreach (var table in section.Tables)
            {
                text.Append($"<div class=\"scroll\"><table{(table.IsWide ? " class=\"wide\"" : "")}><thead><tr>{string.Concat(table.Head.Select(h => $"<th>{Inline(h)}</th>"))}</tr></thead><tbody>\n");
                foreach (var row in table.Rows)
                    text.Append($"<tr>{string.Concat(row.Index().Select(c => $"<td{Class(c.Index, c.Item)}>{Inline(c.Item)}</td>"))}</tr>\n");
                text.Append("</tbody></table></div>\n");
            }

            foreach (var (name, listing) in section.Listings)
                text.Append($"<p>{Inline(name)}:</p>\n<pre>{WebUtility.HtmlEncode(listing.TrimEnd())}</pre>\n");
            text.Append("</section>\n");
        }

        return text.Append("</body></html>\n").ToString();
    }

    static string Class(int column, string text) => text is AimsSection.Met or AimsSection.Missed ? $" class=\"{text}\"" : column > 0 && text.Length > LongCell ? " class=\"long\"" : "";

    /// <summary>The little Markdown that the texts have, as HTML: code and bold.</summary>
    static string Inline(string text) => Bold().Replace(Code().Replace(WebUtility.HtmlEncode(text), "<code>$1</code>"), "<strong>$1</strong>");

    [GeneratedRegex("`([^`]*)`")]
    private static partial Regex Code();

    [GeneratedRegex(@"\*\*([^*]*)\*\*")]
    private static partial Regex Bold();
}
