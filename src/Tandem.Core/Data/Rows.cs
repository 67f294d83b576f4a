using System.Data;
using System.Data.Common;
using System.Globalization;
using System.Reflection;
using System.Text;
using Dapper;

namespace Tandem.Core.Data;

/// <summary>How Dapper maps our rows: records by constructor, snake_case columns, and the types that SQLite has no column type for.</summary>
static class Rows
{
    /// <summary>Sorts as text, reads in any tool, and carries the microseconds that PostgreSQL keeps.</summary>
    public const string TimeFormat = "yyyy-MM-dd HH:mm:ss.ffffff";

    static Rows()
    {
        var byDefault = SqlMapper.TypeMapProvider;
        SqlMapper.TypeMapProvider = type => RecordMap.For(type) ?? byDefault(type);
        SqlMapper.AddTypeHandler(new TimeHandler());
        SqlMapper.AddTypeHandler(new GuidHandler());
        // A SQLite column may hold an INTEGER in one row and a REAL in the next: Dapper's compiled reader would keep the first row's type.
        SqlMapper.AddTypeHandler(new DecimalHandler());
        SqlMapper.AddTypeHandler(new DoubleHandler());
    }

    public static Func<DbDataReader, T> Parser<T>(DbDataReader reader) =>
        // Dapper's reader of a single string or blob column is of another delegate type.
        typeof(T) == typeof(string) || typeof(T) == typeof(byte[])
            ? r => r.IsDBNull(0) ? default! : r.GetFieldValue<T>(0) // null is what the caller's T? allows
            // The engines give numbers of other types (a sum is a numeric in PostgreSQL), and SQLite has numbers for true and false.
            : (Nullable.GetUnderlyingType(typeof(T)) ?? typeof(T)) is { IsPrimitive: true } scalar
                ? r => r.IsDBNull(0) ? default! : (T)Convert.ChangeType(r.GetValue(0), scalar, CultureInfo.InvariantCulture)
            : reader.GetRowParser<T>();

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

    sealed class TimeHandler : SqlMapper.TypeHandler<DateTime>
    {
        public override void SetValue(IDbDataParameter parameter, DateTime value) => parameter.Value = ToSqlite(value);

        public override DateTime Parse(object value) => ReadTime(value);
    }

    sealed class GuidHandler : SqlMapper.TypeHandler<Guid>
    {
        public override void SetValue(IDbDataParameter parameter, Guid value) => parameter.Value = value.ToString();

        public override Guid Parse(object value) => value is Guid id ? id : Guid.Parse((string)value);
    }

    sealed class DecimalHandler : SqlMapper.TypeHandler<decimal>
    {
        public override void SetValue(IDbDataParameter parameter, decimal value) => parameter.Value = ToSqlite(value);

        public override decimal Parse(object value) => Convert.ToDecimal(value, CultureInfo.InvariantCulture);
    }

    sealed class DoubleHandler : SqlMapper.TypeHandler<double>
    {
        public override void SetValue(IDbDataParameter parameter, double value) => parameter.Value = value;

        public override double Parse(object value) => Convert.ToDouble(value, CultureInfo.InvariantCulture);
    }

    /// <summary>Maps a positional record by its longest constructor, whatever types the engine reports; null for anything else.</summary>
    sealed class RecordMap(ConstructorInfo constructor) : SqlMapper.ITypeMap
    {
        readonly ParameterInfo[] _parameters = constructor.GetParameters();

        public static RecordMap? For(Type type)
        {
            if (type.IsPrimitive || type == typeof(string) || type.GetMethod("<Clone>$") is null)
                return null;
            var constructor = type.GetConstructors(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
                .Where(c => c.GetParameters() is { Length: > 0 } ps && ps[0].ParameterType != type)
                .MaxBy(c => c.GetParameters().Length);
            return constructor is null ? null : new RecordMap(constructor);
        }

        // Dapper hands the columns to the constructor in the order of the statement, so that must be the order of the parameters.
        public ConstructorInfo? FindConstructor(string[] names, Type[] types) =>
            names.Select(n => n.ToLowerInvariant()).SequenceEqual(_parameters.Select(p => Snake(p.Name ?? "")))
                ? constructor
                : throw new InvalidOperationException($"""
                    {constructor.DeclaringType?.Name} takes ({string.Join(", ", _parameters.Select(p => Snake(p.Name ?? "")))}),
                    the statement selects ({string.Join(", ", names)}): name the same columns in the same order.
                    """);

        // Dapper would call an explicit constructor with defaults and set properties afterwards.
        public ConstructorInfo? FindExplicitConstructor() => null;

        public SqlMapper.IMemberMap? GetConstructorParameter(ConstructorInfo _, string columnName) =>
            new Parameter(columnName, _parameters.Single(p => string.Equals(Snake(p.Name ?? ""), columnName, StringComparison.OrdinalIgnoreCase)));

        public SqlMapper.IMemberMap? GetMember(string columnName) => null;

        sealed record Parameter(string ColumnName, ParameterInfo Info) : SqlMapper.IMemberMap
        {
            public Type MemberType => Info.ParameterType;
            public PropertyInfo? Property => null;
            public FieldInfo? Field => null;
            ParameterInfo SqlMapper.IMemberMap.Parameter => Info;
        }
    }

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
