using System.Runtime.CompilerServices;
using System.Text;

namespace Tandem.Core.Data;

/// <summary>
/// A statement written as an interpolated string: literal text is SQL, every hole becomes a parameter. A hole that is itself a
/// <see cref="Sql"/> is spliced in with its parameters, so conditions can be composed; <see cref="Raw"/> is for names the program itself knows.
/// </summary>
/// <example><code>db.FindAsync&lt;User&gt;($"select id, name from users_accounts where id = {id}", ct)</code></example>
[InterpolatedStringHandler]
public sealed class Sql
{
    // Null while the statement is the one text it was made from: a statement prepared once costs nothing to pass on.
    StringBuilder? _text;
    string _prepared = "";
    IReadOnlyList<object?> _values;

    /// <summary>Called by the compiler for an interpolated string.</summary>
    public Sql(int literalLength, int formattedCount)
    {
        _text = new StringBuilder(literalLength + formattedCount * 4);
        _values = new List<object?>(formattedCount);
    }

    /// <summary>A statement prepared elsewhere; <paramref name="values"/> belong to the parameters @p0, @p1, … of <paramref name="text"/>.</summary>
    public Sql(string text, params IReadOnlyList<object?> values)
    {
        _prepared = text;
        _values = values;
    }

    /// <summary>The end of a statement that reads a page, to be spliced in behind its <c>order by</c>.</summary>
    /// <remarks>
    /// The first page, which most ask for, has its limit in the text: of a parameter PostgreSQL expects a tenth of the table and plans again each time.
    /// </remarks>
    /// <param name="skip">How many rows to leave out.</param>
    /// <param name="limit">How many to read; bound it, each makes a statement of its own.</param>
    public static Sql Page(int skip, int limit) => skip == 0
        ? Raw(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"limit {limit}"))
        : $"limit {limit} offset {skip}";

    /// <summary>SQL text without parameters. Never pass anything that came from outside the program.</summary>
    public static Sql Raw(string text) => new(text, []);

    /// <summary>The statement with its parameters named @p0, @p1, …</summary>
    public string Text => _text?.ToString() ?? _prepared;

    /// <summary>The parameters' values in order.</summary>
    public IReadOnlyList<object?> Values => _values;

    /// <summary>Called by the compiler for literal text.</summary>
    public void AppendLiteral(string text) => Writable.Append(text);

    /// <summary>Called by the compiler for a hole: adds a parameter.</summary>
    public void AppendFormatted<T>(T value)
    {
        if (value is Sql fragment)
        {
            Append(fragment);
            return;
        }

        Writable.Append("@p").Append(_values.Count);
        WritableValues.Add(value);
    }

    StringBuilder Writable => _text ??= new StringBuilder(_prepared);

    List<object?> WritableValues
    {
        get
        {
            if (_values is not List<object?> list)
                _values = list = [.. _values];
            return list;
        }
    }

    /// <summary>Adds another fragment behind this one, its parameters renumbered.</summary>
    public Sql Append(Sql fragment)
    {
        ArgumentNullException.ThrowIfNull(fragment);
        var text = fragment.Text;
        if (fragment._values.Count == 0)
        {
            Writable.Append(text);
            return this;
        }

        for (var at = 0; at < text.Length;)
        {
            var next = text.IndexOf("@p", at, StringComparison.Ordinal);
            if (next < 0)
            {
                Writable.Append(text, at, text.Length - at);
                break;
            }

            Writable.Append(text, at, next - at);
            var end = next + 2;
            while (end < text.Length && char.IsAsciiDigit(text[end]))
                end++;
            var number = int.Parse(text.AsSpan(next + 2, end - next - 2));
            AppendFormatted(fragment._values[number]);
            at = end;
        }

        return this;
    }

    /// <inheritdoc/>
    public override string ToString() => Text;
}
