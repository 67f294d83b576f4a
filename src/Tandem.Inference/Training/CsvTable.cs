using System.Text;
using Sylvan.Data.Csv;

namespace Tandem.Inference.Training;

/// <summary>A column of a file: its different values, and which of them each row has.</summary>
/// <param name="Name">From the header.</param>
/// <param name="Values">Each value once, in the order of appearance, without blanks around it.</param>
/// <param name="Codes">A place in <paramref name="Values"/> per row; −1 where the value is missing.</param>
sealed record TextColumn(string Name, string[] Values, int[] Codes);

/// <summary>A CSV file with a header: RFC 4180 with comma, semicolon, tab or bar, in UTF-8.</summary>
sealed record CsvTable(string File, IReadOnlyList<TextColumn> Columns, int Rows)
{
    /// <summary>What stands for a missing value, besides nothing at all; compared without regard to case.</summary>
    public static readonly IReadOnlySet<string> Missing = new HashSet<string>(["NA", "N/A", "NaN", "null", "?"], StringComparer.OrdinalIgnoreCase);

    // A quote that is never closed would otherwise read the rest of the file as one value.
    const int MaxRecordChars = 1 << 20;

    /// <exception cref="TrainingException">There is no such file, or it is no such table; the message names the line.</exception>
    public static CsvTable Read(string file, CancellationToken ct)
    {
        try
        {
            using var text = new StreamReader(file, new UTF8Encoding(false, throwOnInvalidBytes: true));
            return Read(file, text, ct);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new TrainingException($"There is no file {file}.") { IsWrongUse = true };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new TrainingException($"{file} cannot be read: {e.Message}");
        }
        catch (DecoderFallbackException)
        {
            throw new TrainingException($"{file} is not in UTF-8; save it as CSV UTF-8.");
        }
    }

    static CsvTable Read(string file, TextReader text, CancellationToken ct)
    {
        if (text.Peek() < 0)
            throw new TrainingException($"{file} is empty; its first line has to name the columns.");
        // 1 for the header; line breaks within quotes are counted as they are met.
        var line = 1;
        try
        {
            using var csv = CsvDataReader.Create(text, new CsvDataReaderOptions { MaxBufferSize = MaxRecordChars, CommentHandler = null, Comment = '\0' });
            var columns = Header(file, csv);
            while (csv.Read())
            {
                ct.ThrowIfCancellationRequested();
                line++;
                if (csv.RowFieldCount == 1 && csv.GetFieldSpan(0).IsWhiteSpace() && columns.Length > 1)
                    continue;
                if (csv.RowFieldCount != columns.Length)
                    throw new TrainingException($"{file}, line {line}: {csv.RowFieldCount} values, but the header names {columns.Length} columns.");
                var breaks = 0;
                for (var i = 0; i < columns.Length; i++)
                {
                    var value = csv.GetFieldSpan(i);
                    breaks += value.Count('\n');
                    columns[i].Add(value.Trim());
                }

                line += breaks;
                if ((long)columns[0].Count * columns.Length > Models.Limits.Cells)
                    throw new TrainingException($"{file} has more than {Models.Limits.Cells} values; train on a sample of it.");
            }

            return new CsvTable(file, [.. columns.Select(c => c.Done())], columns[0].Count);
        }
        catch (CsvRecordTooLargeException)
        {
            throw new TrainingException($"{file}, line {line + 1}: the record is longer than {MaxRecordChars} characters; is a quote left open?");
        }
        catch (CsvFormatException e)
        {
            throw new TrainingException($"{file}, line {line + 1}: it is no CSV there: {e.Message}");
        }
    }

    static Builder[] Header(string file, CsvDataReader csv)
    {
        var columns = Enumerable.Range(0, csv.FieldCount).Select(i => new Builder(csv.GetName(i).Trim())).ToArray();
        if (columns.Length > Models.Limits.Features + 1)
            throw new TrainingException($"{file} has {columns.Length} columns; at most {Models.Limits.Features + 1} are possible.");
        foreach (var (i, column) in columns.Index())
            if (column.Name.Length == 0)
                throw new TrainingException($"{file}: column {i + 1} has no name in the header.");
        if (columns.GroupBy(c => c.Name).FirstOrDefault(g => g.Count() > 1) is { } twice)
            throw new TrainingException($"{file}: the header names the column {twice.Key} twice.");
        return columns;
    }

    sealed class Builder(string name)
    {
        readonly List<string> _values = [];
        readonly List<int> _codes = [];
        readonly Dictionary<string, int> _known = [];

        public string Name => name;

        public int Count => _codes.Count;

        public void Add(ReadOnlySpan<char> value)
        {
            // A value seen before costs no string.
            if (_known.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(value, out var code))
            {
                _codes.Add(code);
                return;
            }

            var text = value.ToString();
            code = text.Length == 0 || Missing.Contains(text) ? -1 : _values.Count;
            if (code >= 0)
                _values.Add(text);
            _known.Add(text, code);
            _codes.Add(code);
        }

        public TextColumn Done() => new(name, [.. _values], [.. _codes]);
    }
}

/// <summary>No model can be made; the message says why and what to do, in whole sentences.</summary>
sealed class TrainingException(string message) : Exception(message)
{
    /// <summary>The command was used wrongly (exit code 2), rather than the data being unfit (1).</summary>
    public bool IsWrongUse { get; init; }
}
