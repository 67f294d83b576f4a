using System.Text.Json;

namespace Tandem.Ledger;

/// <summary>A change that a client was told is done.</summary>
/// <param name="Kind">items or users.</param>
/// <param name="Name">The name or e-mail that the client chose.</param>
/// <param name="Id">The id that the server gave.</param>
/// <param name="Number">0 for a new one, then the number of the change.</param>
sealed record Change(string Kind, string Name, long Id, long Number)
{
    public string Subject => $"{Kind}/{Id}";
}

/// <summary>Every acknowledgement, in a file that is only ever appended to: a client goes on when its line is written.</summary>
sealed class Acknowledgements(string path) : IDisposable
{
    readonly Lock _gate = new();
    readonly FileStream _file = new(path, FileMode.CreateNew, FileAccess.Write, FileShare.Read, bufferSize: 0);

    public void Add(Change change)
    {
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(change), (byte)'\n'];
        lock (_gate)
            _file.Write(line);
    }

    /// <summary>What the clients know, read back from the file.</summary>
    public static List<Change> Read(string path) =>
        [.. File.ReadLines(path).Select(line => JsonSerializer.Deserialize<Change>(line) ?? throw new InvalidDataException($"Not a line of the ledger: {line}"))];

    public void Dispose() => _file.Dispose();
}
