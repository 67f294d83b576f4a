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
    readonly StringBuilder _text;
    readonly List<object?> _values;

    /// <summary>Called by the compiler for an interpolated string.</summary>
    public Sql(int literalLength, int formattedCount)
    {
        _text = new StringBuilder(literalLength + formattedCount * 4);
        _values = new List<object?>(formattedCount);
    }

    /// <summary>A statement prepared elsewhere; <paramref name="values"/> belong to the parameters @p0, @p1, … of <paramref name="text"/>.</summary>
    public Sql(string text, params IReadOnlyList<object?> values)
    {
        _text = new StringBuilder(text);
        _values = [.. values];
    }

    /// <summary>SQL text without parameters. Never pass anything that came from outside the program.</summary>
    public static Sql Raw(string text) => new(text, []);

    /// <summary>The statement with its parameters named @p0, @p1, …</summary>
    public string Text => _text.ToString();

    /// <summary>The parameters' values in order.</summary>
    public IReadOnlyList<object?> Values => _values;

    /// <summary>Called by the compiler for literal text.</summary>
    public void AppendLiteral(string text) => _text.Append(text);

    /// <summary>Called by the compiler for a hole: adds a parameter.</summary>
    public void AppendFormatted<T>(T value)
    {
        if (value is Sql fragment)
        {
            Append(fragment);
            return;
        }

        _text.Append("@p").Append(_values.Count);
        _values.Add(value);
    }

    /// <summary>Adds another fragment behind this one, its parameters renumbered.</summary>
    public Sql Append(Sql fragment)
    {
        ArgumentNullException.ThrowIfNull(fragment);
        var text = fragment.Text;
        if (fragment._values.Count == 0)
        {
            _text.Append(text);
            return this;
        }

        for (var at = 0; at < text.Length;)
        {
            var next = text.IndexOf("@p", at, StringComparison.Ordinal);
            if (next < 0)
            {
                _text.Append(text, at, text.Length - at);
                break;
            }

            _text.Append(text, at, next - at);
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
