using System.Formats.Tar;
using System.IO.Compression;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Tandem.Core.Http;

namespace Tandem.Core.Backup;

/// <summary>A piece of an archive: rows of a table, or a file.</summary>
/// <param name="Table">The table, or null.</param>
/// <param name="File">The file's digest, or null.</param>
/// <param name="Content">To be read before the next piece is asked for.</param>
sealed record ArchivePart(StoredTable? Table, string? File, Stream Content);

/// <summary>Reads an archive from its start to its end.</summary>
sealed class ArchiveReader : IAsyncDisposable
{
    readonly string _path;
    readonly GZipStream _gzip;
    readonly TarReader _tar;
    Manifest? _manifest;

    public ArchiveReader(string path)
    {
        _path = path;
        _gzip = new GZipStream(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16), CompressionMode.Decompress);
        _tar = new TarReader(_gzip);
    }

    /// <summary>The end of the archive; there once all parts were read.</summary>
    public Manifest Manifest => _manifest ?? throw new ArchiveException($"{_path} is cut short: its manifest is missing. Use another backup.");

    public async Task<ArchiveHeader> HeaderAsync(CancellationToken ct)
    {
        if (await NextAsync(ct) is not { Name: "schema.json", DataStream: { } content })
            throw new ArchiveException($"{_path} is no archive of Tandem.");
        var header = await JsonAsync<ArchiveHeader>(content, ct);
        return header.Format == ArchiveHeader.Current
            ? header
            : throw new ArchiveException($"{_path} has format {header.Format}, this program reads format {ArchiveHeader.Current}; restore it with version {header.Program} of the program.");
    }

    public async IAsyncEnumerable<ArchivePart> PartsAsync(ArchiveHeader header, [EnumeratorCancellation] CancellationToken ct)
    {
        var tables = header.Tables.ToDictionary(t => t.Name);
        while (_manifest is null && await NextAsync(ct) is { } entry)
        {
            var content = entry.DataStream ?? Stream.Null;
            switch (entry.Name.Split('/'))
            {
                case ["tables", var name, _] when tables.TryGetValue(name, out var table):
                    yield return new ArchivePart(table, null, content);
                    break;
                case ["files", var digest]:
                    yield return new ArchivePart(null, digest, content);
                    break;
                case ["manifest.json"]:
                    var manifest = await JsonAsync<Manifest>(content, ct);
                    await RefuseDamagedAsync(ct);
                    _manifest = manifest;
                    break;
                default:
                    throw new ArchiveException($"{_path} holds {entry.Name}, which belongs into no archive of Tandem.");
            }
        }
    }

    /// <summary>The rows of a part, a batch at a time.</summary>
    public async IAsyncEnumerable<List<object?[]>> RowsAsync(ArchivePart part, StoredTable table, [EnumeratorCancellation] CancellationToken ct)
    {
        using var lines = new StreamReader(part.Content, leaveOpen: true);
        var rows = new List<object?[]>();
        while (await ReadLineAsync(lines, ct) is { } line)
        {
            rows.Add(Parse(line, table));
            if (rows.Count < TableSession.BatchRows)
                continue;
            yield return rows;
            rows = [];
        }

        if (rows.Count > 0)
            yield return rows;
    }

    object?[] Parse(string line, StoredTable table)
    {
        try
        {
            return RowText.Read(System.Text.Encoding.UTF8.GetBytes(line), table.Columns.Count);
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException)
        {
            throw Damaged(e);
        }
    }

    async Task<TarEntry?> NextAsync(CancellationToken ct)
    {
        try
        {
            return await _tar.GetNextEntryAsync(copyData: false, ct);
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException or FormatException)
        {
            throw Damaged(e);
        }
    }

    /// <summary>Reads on to the end, where the checksum over everything is: also over what no digest is of.</summary>
    /// <exception cref="ArchiveException">It is not right.</exception>
    public async Task RefuseDamagedAsync(CancellationToken ct)
    {
        try
        {
            await _gzip.CopyToAsync(Stream.Null, ct);
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw Damaged(e);
        }
    }

    async Task<string?> ReadLineAsync(StreamReader lines, CancellationToken ct)
    {
        try
        {
            return await lines.ReadLineAsync(ct);
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw Damaged(e);
        }
    }

    async Task<T> JsonAsync<T>(Stream content, CancellationToken ct)
    {
        try
        {
            return await JsonSerializer.DeserializeAsync<T>(content, Json.Stored, ct) ?? throw new JsonException("It is null.");
        }
        catch (Exception e) when (e is JsonException or InvalidDataException or EndOfStreamException)
        {
            throw Damaged(e);
        }
    }

    ArchiveException Damaged(Exception e) => new($"{_path} is damaged or no archive of Tandem ({e.Message}); use another backup.", e);

    public async ValueTask DisposeAsync()
    {
        await _tar.DisposeAsync();
        await _gzip.DisposeAsync();
    }
}
