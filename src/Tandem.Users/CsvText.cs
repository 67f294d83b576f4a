namespace Tandem.Users;

/// <summary>Cells of CSV (RFC 4180).</summary>
static class CsvText
{
    /// <summary>In quotes where a reader could take it for more than one cell, also one that guesses another separator or trims.</summary>
    public static string Quote(string cell) =>
        cell.AsSpan().ContainsAny(",\"\r\n;\t|") || cell.Trim() != cell ? $"\"{cell.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : cell;
}
