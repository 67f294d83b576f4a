using System.Collections.Concurrent;
using System.Linq.Expressions;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Tandem.Core.Ingest;

/// <summary>
/// What reads one record type, made once by its shape: for each member the code that reads a value of its type, in a switch over the names. What
/// has a shape that this does not know is left to the serializer, value by value; the answers are the same.
/// </summary>
static class RecordReader
{
    /// <summary>Names in snake_case, exact; numbers are numbers; members nobody knows are passed, and of two with one name the second counts.</summary>
    public static readonly JsonSerializerOptions Options = Make();

    static readonly ConcurrentDictionary<Type, Delegate> Readers = new();

    public static Func<JsonCursor, T> For<T>() => (Func<JsonCursor, T>)Readers.GetOrAdd(typeof(T), static _ => Compile<T>());

    static JsonSerializerOptions Make()
    {
        var options = new JsonSerializerOptions
        {
            PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
            Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower, allowIntegerValues: false) },
        };
        options.MakeReadOnly(populateMissingResolver: true);
        return options;
    }

    static Func<JsonCursor, T> Compile<T>()
    {
        var cursor = Expression.Parameter(typeof(JsonCursor), "cursor");
        return Expression.Lambda<Func<JsonCursor, T>>(Value(cursor, typeof(T), [], new StrongBox<int>()), cursor).Compile();
    }

    /// <summary>An expression that reads a value of a type.</summary>
    /// <param name="around">The types it is inside of: one that holds itself is left to the serializer.</param>
    /// <param name="strings">How many string values have a number.</param>
    static Expression Value(ParameterExpression cursor, Type type, HashSet<Type> around, StrongBox<int> strings)
    {
        if (type == typeof(string))
            return Expression.Call(cursor, nameof(JsonCursor.ReadString), null, Expression.Constant(strings.Value++));
        if (Primitive(type) is { } method)
            return Expression.Call(cursor, method, null);
        if (Nullable.GetUnderlyingType(type) is { } underlying)
            return OrNull(cursor, type, Expression.Convert(Value(cursor, underlying, around, strings), type));
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(List<>) && !around.Contains(type))
            return Items(cursor, nameof(JsonCursor.ReadList), type.GetGenericArguments()[0], around, strings);
        if (type.IsSZArray && type != typeof(byte[]))
            return Items(cursor, nameof(JsonCursor.ReadArray), type.GetElementType()!, around, strings); // an array has one
        return Shape.Of(type) is { } shape && !around.Contains(type)
            ? Record(cursor, shape, [.. around, type], strings)
            : Expression.Call(cursor, typeof(JsonCursor).GetMethod(nameof(JsonCursor.ReadOther))!.MakeGenericMethod(type), Expression.Constant(Options)); // is there
    }

    static string? Primitive(Type type) => Type.GetTypeCode(type) switch
    {
        _ when type.IsEnum => null,
        TypeCode.Boolean => nameof(JsonCursor.ReadBoolean),
        TypeCode.Int32 => nameof(JsonCursor.ReadInt32),
        TypeCode.Int64 => nameof(JsonCursor.ReadInt64),
        TypeCode.Double => nameof(JsonCursor.ReadDouble),
        TypeCode.Single => nameof(JsonCursor.ReadSingle),
        TypeCode.Decimal => nameof(JsonCursor.ReadDecimal),
        _ => null,
    };

    static Expression OrNull(ParameterExpression cursor, Type type, Expression value) =>
        Expression.Condition(Expression.Call(cursor, nameof(JsonCursor.TryNull), null), Expression.Default(type), value);

    static Expression Items(ParameterExpression cursor, string method, Type item, HashSet<Type> around, StrongBox<int> strings)
    {
        var each = Expression.Parameter(typeof(JsonCursor), "item");
        var reader = Expression.Lambda(typeof(Func<,>).MakeGenericType(typeof(JsonCursor), item), Value(each, item, around, strings), each);
        return Expression.Call(cursor, method, [item], Expression.Constant(reader.Compile()));
    }

    /// <summary>Every member into a variable, then the constructor, then what is set beside it.</summary>
    static Expression Record(ParameterExpression cursor, Shape shape, HashSet<Type> around, StrongBox<int> strings)
    {
        var names = Expression.Constant(new MemberNames([.. shape.Members.Select(m => m.Name)]));
        var at = Expression.Variable(typeof(int), "at");
        var seen = Expression.Variable(typeof(ulong), "seen");
        var done = Expression.Label("done");
        var values = shape.Members.Select(m => Expression.Variable(m.Type, m.Name)).ToList();
        var cases = shape.Members.Select((m, i) => Expression.SwitchCase(
            Expression.Block(
                typeof(void),
                Expression.Assign(values[i], Value(cursor, m.Type, around, strings)),
                Expression.OrAssign(seen, Expression.Constant(1UL << i))),
            Expression.Constant(i)));
        var skip = Expression.Call(cursor, nameof(JsonCursor.Skip), null);
        var record = Expression.Variable(shape.Type, "record");

        // Variables of a block may be where those of an earlier one were, and have what these had.
        var body = new List<Expression> { Expression.Assign(seen, Expression.Constant(0UL)) };
        body.AddRange(shape.Members.Select((m, i) => Expression.Assign(values[i], m.Default is null ? Expression.Default(m.Type) : Expression.Constant(m.Default, m.Type))));
        body.Add(Expression.Assign(at, Expression.Call(cursor, nameof(JsonCursor.Begin), null, names)));
        body.Add(Expression.Loop(
            Expression.Block(
                Expression.IfThen(Expression.LessThan(at, Expression.Constant(0)), Expression.Break(done)),
                shape.Members.Count == 0 ? skip : Expression.Switch(typeof(void), at, skip, null, cases),
                Expression.Assign(at, Expression.Call(cursor, nameof(JsonCursor.Next), null, names, at))),
            done));
        var required = shape.Members.Index().Where(m => m.Item.Required).Aggregate(0UL, (mask, m) => mask | (1UL << m.Index));
        if (required != 0)
            body.Add(Expression.IfThen(
                Expression.NotEqual(Expression.And(seen, Expression.Constant(required)), Expression.Constant(required)),
                Expression.Throw(Expression.Call(cursor, nameof(JsonCursor.Wrong), null, Expression.Constant($"a record with all of {string.Join(", ", shape.Members.Where(m => m.Required).Select(m => m.Name))}")))));
        body.Add(Expression.Assign(record, Expression.New(
            shape.Constructor, shape.Constructor.GetParameters().Select(p => values[shape.Members.FindIndex(m => m.Parameter == p.Position)]))));
        foreach (var (i, member) in shape.Members.Index().Where(m => m.Item.Setter is not null))
            body.Add(Expression.IfThen(
                Expression.NotEqual(Expression.And(seen, Expression.Constant(1UL << i)), Expression.Constant(0UL)),
                Expression.Assign(Expression.Property(record, member.Setter!), values[i]))); // looked at just now
        body.Add(record);
        var read = Expression.Block(shape.Type, [at, seen, record, .. values], body);
        return shape.Type.IsValueType ? read : OrNull(cursor, shape.Type, read);
    }

    /// <summary>A type that is made by one constructor and its setters, as the serializer would make it.</summary>
    sealed record Shape(Type Type, ConstructorInfo Constructor, List<Member> Members)
    {
        // Each member has a bit that says whether it was there.
        const int MaxMembers = 64;

        public static Shape? Of(Type type)
        {
            if (type.IsAbstract || type.IsPrimitive || type.Namespace?.StartsWith("System", StringComparison.Ordinal) == true || type.IsPointer)
                return null;
            var info = Options.GetTypeInfo(type);
            // Another converter, base or derived types, a callback: things that the serializer knows how to do.
            if (info.Kind != JsonTypeInfoKind.Object || info.PolymorphismOptions is not null || info.Properties.Count > MaxMembers || info.OnDeserialized is not null
                || info.OnDeserializing is not null || info.UnmappedMemberHandling == JsonUnmappedMemberHandling.Disallow || Constructing(type) is not { } constructor)
            {
                return null;
            }

            var parameters = constructor.GetParameters();
            var members = new List<Member>();
            foreach (var property in info.Properties)
            {
                if (property.CustomConverter is not null || property.IsExtensionData || property.NumberHandling is not null
                    || property.AttributeProvider is not PropertyInfo made)
                {
                    return null;
                }

                var parameter = parameters.FirstOrDefault(p => string.Equals(p.Name, made.Name, StringComparison.OrdinalIgnoreCase) && p.ParameterType == made.PropertyType);
                var setter = parameter is null && made.SetMethod is { IsPublic: true } ? made : null;
                if (parameter is not null || setter is not null)
                    members.Add(new Member(
                        property.Name, property.PropertyType, parameter?.Position, setter, property.IsRequired, parameter is { HasDefaultValue: true } ? parameter.DefaultValue : null));
            }

            return parameters.All(p => members.Any(m => m.Parameter == p.Position)) ? new Shape(type, constructor, members) : null;
        }

        static ConstructorInfo? Constructing(Type type)
        {
            var constructors = type.GetConstructors();
            return constructors.SingleOrDefault(c => c.IsDefined(typeof(JsonConstructorAttribute)))
                ?? constructors.FirstOrDefault(c => c.GetParameters().Length == 0)
                ?? (constructors.Length == 1 ? constructors[0] : null);
        }
    }

    /// <param name="Parameter">Of the constructor, where it goes in there.</param>
    /// <param name="Setter">Where it is set afterwards, if it was there.</param>
    sealed record Member(string Name, Type Type, int? Parameter, PropertyInfo? Setter, bool Required, object? Default);
}
