namespace Tandem.Bench.Reports;

/// <summary>What a report says, before it is Markdown or HTML.</summary>
sealed record Page(string Title, List<string> Lead, List<Section> Sections);

sealed record Section(string Title, List<string> Text, List<Table> Tables, List<Chart> Charts)
{
    /// <summary>Files as they are, each with its name.</summary>
    public List<(string Name, string Text)> Listings { get; init; } = [];
}

/// <param name="IsWide">Its cells are long texts, not figures.</param>
sealed record Table(string[] Head, List<string[]> Rows, bool IsWide = false);

/// <param name="Caption">What is to be seen, for those who do not see it as well.</param>
/// <param name="See">A sentence on what this run's picture shows; empty: none.</param>
sealed record Chart(string Caption, string Svg, string See = "");
