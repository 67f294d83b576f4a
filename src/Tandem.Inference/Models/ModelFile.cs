using System.Buffers.Binary;
using System.Text.Json;

namespace Tandem.Inference.Models;

/// <summary>The bytes of a model file, docs/reference/model-format.md. The reader trusts nothing: a hostile file gives an error, never a hang.</summary>
static class ModelFile
{
    /// <summary>Files of another version are refused.</summary>
    public const int Version = 1;

    /// <summary>1 GiB: some 60 million nodes.</summary>
    public const int MaxBytes = 1 << 30;

    const int MaxDescriptionBytes = 64 << 20;
    const int NodeBytes = 16;

    static ReadOnlySpan<byte> Magic => "TANDEMML"u8;

    public static byte[] Write(ModelDescription description, Forest forest)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(description, ModelDescription.Json);
        var length = HeaderBytes + (long)json.Length + 4L * forest.Trees + (long)NodeBytes * forest.Nodes.Length + 8L * forest.Vectors.Length;
        if (length > MaxBytes || json.Length > MaxDescriptionBytes)
            throw new UnusableModelException($"it would take {length >> 20} MiB, at most {MaxBytes >> 20} are possible; grow fewer trees or learn from fewer rows");
        var bytes = new byte[length];
        Magic.CopyTo(bytes);
        var at = Magic.Length;
        foreach (var number in (ReadOnlySpan<int>)[Version, json.Length, forest.Trees, forest.Nodes.Length, forest.Vectors.Length / forest.Width, forest.Width, forest.Columns])
            WriteInt(bytes, ref at, number);
        json.CopyTo(bytes, at);
        at += json.Length;
        foreach (var root in forest.Roots)
            WriteInt(bytes, ref at, root);
        foreach (var node in forest.Nodes)
        {
            WriteDouble(bytes, ref at, node.Threshold);
            WriteInt(bytes, ref at, node.Column);
            WriteInt(bytes, ref at, node.Next);
        }

        foreach (var value in forest.Vectors)
            WriteDouble(bytes, ref at, value);
        return bytes;
    }

    /// <exception cref="UnusableModelException">It is no model file, of another version, damaged, or made to harm.</exception>
    public static Model Read(ReadOnlySpan<byte> bytes)
    {
        if (!bytes.StartsWith(Magic) || bytes.Length < HeaderBytes)
            throw new UnusableModelException("it is no model file");
        var at = Magic.Length;
        if (ReadInt(bytes, ref at) is var version and not Version)
            throw new UnusableModelException($"it has format version {version}; this program reads version {Version}");
        var (json, trees, nodes, vectors) = (ReadInt(bytes, ref at), ReadInt(bytes, ref at), ReadInt(bytes, ref at), ReadInt(bytes, ref at));
        var (width, columns) = (ReadInt(bytes, ref at), ReadInt(bytes, ref at));
        // Counted before anything is allocated: the parts must fill the file exactly.
        if (json is < 0 or > MaxDescriptionBytes || trees is < 1 or > Limits.Trees || nodes < 1 || vectors < 1 || width is < 1 or > Limits.Classes
            || columns is < 1 or > Limits.Columns
            || bytes.Length != HeaderBytes + (long)json + 4L * trees + (long)NodeBytes * nodes + 8L * vectors * width)
            throw new UnusableModelException("its parts are not as long as its header says");
        try
        {
            var description = ReadDescription(bytes.Slice(at, json));
            return new Model(description, ReadForest(bytes, at + json, trees, nodes, vectors, width, columns));
        }
        catch (InvalidOperationException e)
        {
            // A JsonElement is not looked into before it is used.
            throw new UnusableModelException("its description has a string that is no Unicode text", e);
        }
    }

    static int HeaderBytes => Magic.Length + 7 * sizeof(int);

    static ModelDescription ReadDescription(ReadOnlySpan<byte> json)
    {
        try
        {
            return JsonSerializer.Deserialize<ModelDescription>(json, ModelDescription.Json) ?? throw new UnusableModelException("its description is empty");
        }
        catch (JsonException e)
        {
            throw new UnusableModelException($"its description cannot be read: {e.Message}", e);
        }
    }

    static Forest ReadForest(ReadOnlySpan<byte> bytes, int at, int trees, int nodes, int vectors, int width, int columns)
    {
        var (roots, all, values) = (new int[trees], new Node[nodes], new double[vectors * width]);
        foreach (ref var root in roots.AsSpan())
            root = ReadInt(bytes, ref at);
        foreach (ref var node in all.AsSpan())
            node = new Node(ReadDouble(bytes, ref at), ReadInt(bytes, ref at), ReadInt(bytes, ref at));
        foreach (ref var value in values.AsSpan())
            value = ReadDouble(bytes, ref at);
        return new Forest(roots, all, values, width, columns);
    }

    static void WriteInt(byte[] bytes, ref int at, int value)
    {
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(at), value);
        at += sizeof(int);
    }

    static void WriteDouble(byte[] bytes, ref int at, double value)
    {
        BinaryPrimitives.WriteDoubleLittleEndian(bytes.AsSpan(at), value);
        at += sizeof(double);
    }

    static int ReadInt(ReadOnlySpan<byte> bytes, ref int at)
    {
        var value = BinaryPrimitives.ReadInt32LittleEndian(bytes[at..]);
        at += sizeof(int);
        return value;
    }

    static double ReadDouble(ReadOnlySpan<byte> bytes, ref int at)
    {
        var value = BinaryPrimitives.ReadDoubleLittleEndian(bytes[at..]);
        at += sizeof(double);
        return value;
    }
}
