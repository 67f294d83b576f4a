using System.Collections;
using System.Collections.Concurrent;
using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace Tandem.Core.Ingest;

/// <summary>
/// What reads one record type, made once by its shape: for each member the code that reads a value of its type, in a switch over the names. What
/// has a shape that this does not know is left to the serializer, value by value; the answers are the same. The code is written as instructions: by way
/// of expression trees and contracts the first reader of a process took half as long again, and twice as many methods were left for the JIT.
/// </summary>
sealed class RecordReader
{
    static readonly ConcurrentDictionary<Type, Delegate> Readers = new();

    readonly ILGenerator _code;
    readonly List<MemberNames> _names = [];
    readonly List<Delegate> _items = [];
    readonly List<object> _defaults = [];
    int _strings;

    RecordReader(ILGenerator code, int strings) => (_code, _strings) = (code, strings);

    /// <summary>Names in snake_case, exact; numbers are numbers; members nobody knows are passed, and of two with one name the second counts.</summary>
    public static JsonSerializerOptions Options => Serializer.Options;

    public static Func<JsonCursor, T> For<T>() => (Func<JsonCursor, T>)Readers.GetOrAdd(typeof(T), static type => Compile(type, [], 0, out _));

    /// <summary>Apart, for the serializer is not even loaded before a type needs it.</summary>
    static class Serializer
    {
        public static readonly JsonSerializerOptions Options = Make();

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
    }

    /// <summary>What the code of a reader refers to: its first argument.</summary>
    sealed class Parts
    {
        public MemberNames[] Names = [];
        public Delegate[] Items = [];
        public object[] Defaults = [];
    }

    /// <param name="type">What is read.</param>
    /// <param name="around">The types it is inside of: one that holds itself is left to the serializer.</param>
    /// <param name="strings">How many string values have a number.</param>
    static Delegate Compile(Type type, Type[] around, int strings, out int stringsThen)
    {
        var method = new DynamicMethod($"Read{type.Name}", type, [typeof(Parts), typeof(JsonCursor)], typeof(RecordReader).Module, skipVisibility: true);
        var reader = new RecordReader(method.GetILGenerator(), strings);
        reader.Value(type, around);
        reader._code.Emit(OpCodes.Ret);
        stringsThen = reader._strings;
        return method.CreateDelegate(
            typeof(Func<,>).MakeGenericType(typeof(JsonCursor), type), new Parts { Names = [.. reader._names], Items = [.. reader._items], Defaults = [.. reader._defaults] });
    }

    /// <summary>Reads a value of a type and leaves it on the stack.</summary>
    void Value(Type type, Type[] around)
    {
        if (type == typeof(string))
            String(nameof(JsonCursor.ReadString));
        else if (type == typeof(string[]))
            String(nameof(JsonCursor.ReadStrings));
        else if (Primitive(type) is { } method)
            Cursor(method);
        else if (Nullable.GetUnderlyingType(type) is { } underlying)
            OrNull(type, () =>
            {
                Value(underlying, around);
                _code.Emit(OpCodes.Newobj, type.GetConstructor([underlying])!); // is there
            });
        else if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(List<>) && !around.Contains(type))
            Items(nameof(JsonCursor.ReadList), type.GetGenericArguments()[0], around);
        else if (type.IsSZArray && type != typeof(byte[]))
            Items(nameof(JsonCursor.ReadArray), type.GetElementType()!, around); // an array has one
        else if (!around.Contains(type) && Shape.Of(type) is { } shape)
            Record(shape, [.. around, type]);
        else
            Cursor(nameof(JsonCursor.ReadOther), type);
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

    /// <summary>Calls a method of the cursor that takes nothing.</summary>
    void Cursor(string method, Type? of = null)
    {
        _code.Emit(OpCodes.Ldarg_1);
        Call(method, of);
    }

    void Call(string method, Type? of = null)
    {
        var called = typeof(JsonCursor).GetMethod(method)!; // is there
        _code.Emit(OpCodes.Call, of is null ? called : called.MakeGenericMethod(of));
    }

    void String(string method)
    {
        _code.Emit(OpCodes.Ldarg_1);
        _code.Emit(OpCodes.Ldc_I4, _strings++);
        Call(method);
    }

    /// <summary>One of the things that the code refers to.</summary>
    void Part(string list, int number, Type type)
    {
        _code.Emit(OpCodes.Ldarg_0);
        _code.Emit(OpCodes.Ldfld, typeof(Parts).GetField(list)!); // is there
        _code.Emit(OpCodes.Ldc_I4, number);
        _code.Emit(OpCodes.Ldelem_Ref);
        _code.Emit(OpCodes.Unbox_Any, type);
    }

    void OrNull(Type type, Action value)
    {
        var (isThere, done, nothing) = (_code.DefineLabel(), _code.DefineLabel(), _code.DeclareLocal(type));
        Cursor(nameof(JsonCursor.TryNull));
        _code.Emit(OpCodes.Brfalse, isThere);
        Default(nothing, null);
        _code.Emit(OpCodes.Ldloc, nothing);
        _code.Emit(OpCodes.Br, done);
        _code.MarkLabel(isThere);
        value();
        _code.MarkLabel(done);
    }

    void Default(LocalBuilder variable, object? value)
    {
        if (value is null)
        {
            _code.Emit(OpCodes.Ldloca, variable);
            _code.Emit(OpCodes.Initobj, variable.LocalType);
            return;
        }

        Part(nameof(Parts.Defaults), _defaults.Count, variable.LocalType);
        _defaults.Add(value);
        _code.Emit(OpCodes.Stloc, variable);
    }

    void Items(string method, Type item, Type[] around)
    {
        var reader = Compile(item, around, _strings, out _strings);
        _code.Emit(OpCodes.Ldarg_1);
        Part(nameof(Parts.Items), _items.Count, reader.GetType());
        _items.Add(reader);
        Call(method, item);
    }

    void Record(Shape shape, Type[] around)
    {
        if (shape.Type.IsValueType)
            Members(shape, around);
        else
            OrNull(shape.Type, () => Members(shape, around));
    }

    /// <summary>Every member into a variable, then the constructor, then what is set beside it; without parameters the constructor comes first, and nothing needs a variable.</summary>
    void Members(Shape shape, Type[] around)
    {
        var (record, at, seen) = (_code.DeclareLocal(shape.Type), _code.DeclareLocal(typeof(int)), _code.DeclareLocal(typeof(ulong)));
        var (again, other, next, done) = (_code.DefineLabel(), _code.DefineLabel(), _code.DefineLabel(), _code.DefineLabel());
        var parameters = shape.Constructor.GetParameters();
        var isFirst = parameters.Length == 0 && !shape.Type.IsValueType;
        var (members, names) = (shape.Members, _names.Count);
        _names.Add(new MemberNames([.. members.Select(m => m.Name)]));

        // The variables may have what they had for the record before.
        _code.Emit(OpCodes.Ldc_I8, 0L);
        _code.Emit(OpCodes.Stloc, seen);
        var values = members.Select(m => _code.DeclareLocal(m.Type)).ToArray();
        for (var i = 0; i < values.Length && !isFirst; i++)
            Default(values[i], members[i].Default);
        if (isFirst)
        {
            _code.Emit(OpCodes.Newobj, shape.Constructor);
            _code.Emit(OpCodes.Stloc, record);
        }

        _code.Emit(OpCodes.Ldarg_1);
        Part(nameof(Parts.Names), names, typeof(MemberNames));
        Call(nameof(JsonCursor.Begin));
        _code.Emit(OpCodes.Stloc, at);

        _code.MarkLabel(again);
        var cases = members.Select(_ => _code.DefineLabel()).ToArray();
        _code.Emit(OpCodes.Ldloc, at);
        _code.Emit(OpCodes.Switch, cases);
        _code.Emit(OpCodes.Br, other);
        for (var i = 0; i < cases.Length; i++)
        {
            _code.MarkLabel(cases[i]);
            Value(members[i].Type, around);
            _code.Emit(OpCodes.Stloc, values[i]);
            if (isFirst)
                Set(shape, record, members[i], values[i]);
            _code.Emit(OpCodes.Ldloc, seen);
            _code.Emit(OpCodes.Ldc_I8, 1L << i);
            _code.Emit(OpCodes.Or);
            _code.Emit(OpCodes.Stloc, seen);
            _code.Emit(OpCodes.Br, next);
        }

        _code.MarkLabel(other);
        _code.Emit(OpCodes.Ldloc, at);
        _code.Emit(OpCodes.Ldc_I4, MemberNames.End);
        _code.Emit(OpCodes.Beq, done);
        Cursor(nameof(JsonCursor.Skip));

        _code.MarkLabel(next);
        _code.Emit(OpCodes.Ldarg_1);
        Part(nameof(Parts.Names), names, typeof(MemberNames));
        _code.Emit(OpCodes.Ldloc, at);
        Call(nameof(JsonCursor.Next));
        _code.Emit(OpCodes.Stloc, at);
        _code.Emit(OpCodes.Br, again);

        _code.MarkLabel(done);
        Required(members, seen);
        if (!isFirst)
        {
            foreach (var parameter in parameters)
                _code.Emit(OpCodes.Ldloc, values[members.FindIndex(m => m.Parameter == parameter.Position)]);
            _code.Emit(OpCodes.Newobj, shape.Constructor);
            _code.Emit(OpCodes.Stloc, record);
            for (var i = 0; i < values.Length; i++)
                if (members[i].Setter is not null)
                {
                    var not = _code.DefineLabel();
                    Seen(seen, 1L << i);
                    _code.Emit(OpCodes.Brfalse, not);
                    Set(shape, record, members[i], values[i]);
                    _code.MarkLabel(not);
                }
        }

        _code.Emit(OpCodes.Ldloc, record);
    }

    void Set(Shape shape, LocalBuilder record, Member member, LocalBuilder value)
    {
        _code.Emit(shape.Type.IsValueType ? OpCodes.Ldloca : OpCodes.Ldloc, record);
        _code.Emit(OpCodes.Ldloc, value);
        _code.Emit(shape.Type.IsValueType ? OpCodes.Call : OpCodes.Callvirt, member.Setter!.SetMethod!); // looked at by the shape
    }

    void Seen(LocalBuilder seen, long bits)
    {
        _code.Emit(OpCodes.Ldloc, seen);
        _code.Emit(OpCodes.Ldc_I8, bits);
        _code.Emit(OpCodes.And);
    }

    void Required(List<Member> members, LocalBuilder seen)
    {
        var bits = 0L;
        for (var i = 0; i < members.Count; i++)
            if (members[i].Required)
                bits |= 1L << i;
        if (bits == 0)
            return;
        var all = _code.DefineLabel();
        Seen(seen, bits);
        _code.Emit(OpCodes.Ldc_I8, bits);
        _code.Emit(OpCodes.Beq, all);
        _code.Emit(OpCodes.Ldarg_1);
        _code.Emit(OpCodes.Ldstr, $"a record with all of {string.Join(", ", members.Where(m => m.Required).Select(m => m.Name))}");
        Call(nameof(JsonCursor.Wrong));
        _code.Emit(OpCodes.Throw);
        _code.MarkLabel(all);
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
            return Constructing(type) is { } constructor ? IsPlain(type) ? ByProperties(type, constructor) : ByContract(type, constructor) : null;
        }

        /// <summary>Whether the type's own properties are all that the serializer would go by: it need not be asked then, which takes it long the first time.</summary>
        static bool IsPlain(Type type) => type.BaseType == typeof(object) && !type.IsAssignableTo(typeof(IEnumerable)) && !type.IsDefined(typeof(JsonAttribute))
            && type.GetInterfaces().All(i => i.Namespace != typeof(JsonAttribute).Namespace)
            && type.GetMembers(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance)
                .All(m => !m.IsDefined(typeof(JsonAttribute)) && !m.IsDefined(typeof(RequiredMemberAttribute)))
            && type.GetProperties() is { Length: <= MaxMembers } properties && properties.DistinctBy(p => Named(p)).Count() == properties.Length
            && properties.All(p => p.GetIndexParameters().Length == 0 && p.PropertyType is { IsByRef: false, IsByRefLike: false, IsPointer: false });

        static string Named(PropertyInfo property) => JsonNamingPolicy.SnakeCaseLower.ConvertName(property.Name);

        static Shape? ByProperties(Type type, ConstructorInfo constructor)
        {
            var members = new List<Member>();
            foreach (var property in type.GetProperties())
                Add(members, constructor, property, Named(property), isRequired: false);
            return Whole(type, constructor, members);
        }

        static Shape? ByContract(Type type, ConstructorInfo constructor)
        {
            var info = Options.GetTypeInfo(type);
            // Another converter, base or derived types, a callback: things that the serializer knows how to do.
            if (info.Kind != JsonTypeInfoKind.Object || info.PolymorphismOptions is not null || info.Properties.Count > MaxMembers || info.OnDeserialized is not null
                || info.OnDeserializing is not null || info.UnmappedMemberHandling == JsonUnmappedMemberHandling.Disallow)
            {
                return null;
            }

            var members = new List<Member>();
            foreach (var property in info.Properties)
            {
                if (property.CustomConverter is not null || property.IsExtensionData || property.NumberHandling is not null
                    || property.AttributeProvider is not PropertyInfo made)
                {
                    return null;
                }

                Add(members, constructor, made, property.Name, property.IsRequired);
            }

            return Whole(type, constructor, members);
        }

        static void Add(List<Member> members, ConstructorInfo constructor, PropertyInfo property, string name, bool isRequired)
        {
            var parameter = constructor.GetParameters().FirstOrDefault(
                p => string.Equals(p.Name, property.Name, StringComparison.OrdinalIgnoreCase) && p.ParameterType == property.PropertyType);
            var setter = parameter is null && property.SetMethod is { IsPublic: true } ? property : null;
            if (parameter is not null || setter is not null)
                members.Add(new Member(name, property.PropertyType, parameter?.Position, setter, isRequired, parameter is null ? null : Default(parameter)));
        }

        static object? Default(ParameterInfo parameter)
        {
            var value = parameter.HasDefaultValue ? parameter.DefaultValue : null;
            // One that may be null has its number.
            return value is not null && Nullable.GetUnderlyingType(parameter.ParameterType) is { IsEnum: true } type ? Enum.ToObject(type, value) : value;
        }

        static Shape? Whole(Type type, ConstructorInfo constructor, List<Member> members) =>
            constructor.GetParameters().All(p => members.Any(m => m.Parameter == p.Position)) ? new Shape(type, constructor, members) : null;

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
