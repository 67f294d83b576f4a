using System.Data.Common;
using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;

namespace Tandem.Core.Data;

/// <summary>How rows become records, and how values are kept in a database that has no type of column for them.</summary>
static class Rows
{
    /// <summary>Sorts as text, reads in any tool, and carries the microseconds that PostgreSQL keeps.</summary>
    public const string TimeFormat = "yyyy-MM-dd HH:mm:ss.ffffff";

    /// <summary>
    /// Reads a row of <paramref name="reader"/>'s columns: a record (or any type with a constructor that names the columns, in their order), a tuple by position, or the
    /// value of the first column. Columns are snake_case; null becomes the default of a type that has no null.
    /// </summary>
    /// <exception cref="InvalidOperationException"><typeparamref name="T"/> takes other columns than the statement selects.</exception>
    public static Func<DbDataReader, T> Parser<T>(DbDataReader reader)
    {
        if (ValueReader(typeof(T)) is { } value)
            return r => r.IsDBNull(0) ? default! : (T)value(r.GetValue(0)); // null is what the caller's T? allows
        var constructor = typeof(T).GetConstructors(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
            .Where(c => c.GetParameters() is [var first, ..] && first.ParameterType != typeof(T))
            .MaxBy(c => c.GetParameters().Length);
        var parameters = constructor?.GetParameters() ?? [];
        var columns = Enumerable.Range(0, reader.FieldCount).Select(reader.GetName).ToArray();
        var names = parameters.Select(p => Snake(p.Name ?? "")).ToArray();
        if (typeof(T).IsAssignableTo(typeof(ITuple)) && typeof(T).IsValueType ? names.Length != columns.Length : !names.SequenceEqual(columns.Select(c => c.ToLowerInvariant())))
            throw new InvalidOperationException($"""
                {typeof(T).Name} takes ({string.Join(", ", names)}),
                the statement selects ({string.Join(", ", columns)}): name the same columns in the same order.
                """);
        if (parameters.Length > Values.Capacity)
            throw new InvalidOperationException($"{typeof(T).Name} takes {parameters.Length} columns; a row has at most {Values.Capacity}.");

        var make = ConstructorInvoker.Create(constructor!); // without one its names are none, and a statement has columns
        var read = parameters.Select(p => ValueReader(p.ParameterType) ?? (v => v)).ToArray();
        return r =>
        {
            var room = new Values();
            Span<object?> values = room;
            for (var i = 0; i < read.Length; i++)
                values[i] = r.GetValue(i) is { } value and not DBNull ? read[i](value) : null;
            return (T)make.Invoke(values[..read.Length]);
        };
    }

    /// <summary>A row's values on their way to its constructor, without an array of their own.</summary>
    [InlineArray(Capacity)]
    struct Values
    {
        public const int Capacity = 32;
        object? _first;
    }

    /// <summary>How a value becomes one of <paramref name="type"/>, whatever the engine has for it; null when it is no type of a single column.</summary>
    static Func<object, object>? ValueReader(Type type) => (Nullable.GetUnderlyingType(type) ?? type) switch
    {
        var t when t == typeof(object) => v => v,
        var t when t == typeof(string) => v => v as string ?? Convert.ToString(v, CultureInfo.InvariantCulture)!,
        var t when t == typeof(byte[]) => v => (byte[])v,
        var t when t == typeof(DateTime) => v => ReadTime(v),
        var t when t == typeof(DateOnly) => v => v is DateOnly ? v : DateOnly.FromDateTime(ReadTime(v)),
        var t when t == typeof(Guid) => v => v is Guid ? v : Guid.Parse((string)v),
        { IsEnum: true } t => v => v is string name ? Enum.Parse(t, name) : Enum.ToObject(t, v),
        // The engines give numbers of other types (a sum is a numeric in PostgreSQL, an INTEGER may stand among REALs in SQLite), and SQLite has numbers for true and false.
        var t when t.IsPrimitive || t == typeof(decimal) => v => v.GetType() == t ? v : Convert.ChangeType(v, t, CultureInfo.InvariantCulture),
        _ => null,
    };

    /// <summary>The value as Microsoft.Data.Sqlite is to store it.</summary>
    public static object ToSqlite(object? value) => value switch
    {
        null => DBNull.Value,
        string or long or int or double or byte[] => value,
        bool flag => flag ? 1L : 0L,
        DateTime time => time.ToString(TimeFormat, CultureInfo.InvariantCulture),
        DateTimeOffset time => time.UtcDateTime.ToString(TimeFormat, CultureInfo.InvariantCulture),
        DateOnly day => day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
        Guid id => id.ToString(),
        // Exact up to 15 significant digits, which is what Resource<T> admits; numbers then compare as numbers.
        // The cast keeps the long: of long and double the conditional would make a double.
        decimal number => decimal.IsInteger(number) && Math.Abs(number) < 1e15m ? (object)(long)number : (double)number,
        Enum => value.ToString()!,
        ReadOnlyMemory<byte> bytes => bytes.ToArray(),
        _ => value,
    };

    /// <summary>The UTC time of a column, as either engine gives it.</summary>
    public static DateTime ReadTime(object value) => value is DateTime time
        ? DateTime.SpecifyKind(time, DateTimeKind.Utc)
        : DateTime.Parse((string)value, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal);

    /// <summary>CreatedAt and createdAt become created_at.</summary>
    public static string Snake(string name)
    {
        var text = new StringBuilder(name.Length + 4);
        for (var i = 0; i < name.Length; i++)
        {
            if (char.IsUpper(name[i]) && i > 0)
                text.Append('_');
            text.Append(char.ToLowerInvariant(name[i]));
        }

        return text.ToString();
    }
}
