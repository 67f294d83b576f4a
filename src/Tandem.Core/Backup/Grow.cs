using System.Globalization;
using Tandem.Core.Files;

namespace Tandem.Core.Backup;

/// <summary>Moves all that one store holds into another.</summary>
/// <remarks>
/// Row by row in batches of a transaction each, and beside the rows, in the same transaction, how many of them are there: killed at any moment, the
/// next run goes on behind the last batch. In the end both sides are read and compared, so it does not matter what happened in between.
/// </remarks>
sealed class Grow(WholeStore source, WholeStore target, ProgramSchema program, Action<CopyProgress> progress)
{
    /// <summary>Copies into a server that several runs may need.</summary>
    /// <param name="session">The source, which nobody writes to meanwhile.</param>
    /// <param name="header">What it holds.</param>
    /// <param name="ct">Ends this run.</param>
    /// <exception cref="ArchiveException">The stores are not alike in the end.</exception>
    public async Task<Moved> IntoServerAsync(TableSession session, ArchiveHeader header, CancellationToken ct)
    {
        await program.PrepareAsync(target, header, ct);
        await using var fill = await target.Tables.FillAsync(ct);
        var copied = await BeginAsync(fill, header, ct);
        var resumed = copied.Values.Sum();
        foreach (var table in header.Tables)
            await CopyAsync(session, fill, table, copied[table.Name], ct);
        var files = await CopyFilesAsync(ct);

        var tables = new List<TableCount>();
        foreach (var table in header.Tables)
            tables.Add(await CompareAsync(session, fill, table, ct));
        foreach (var (name, last) in header.Sequences)
            await fill.SetSequenceAsync(name, last, ct);
        await fill.CheckAsync(ct);
        await fill.ExecuteAsync($"drop table {StoreTables.GrowProgress}", ct);
        await fill.CommitAsync(ct);
        program.Complete(target.Migrator);
        return new Moved(tables, files, resumed);
    }

    /// <summary>Copies into an embedded store in the making, in one go.</summary>
    /// <exception cref="ArchiveException">The stores are not alike in the end.</exception>
    public async Task<Moved> IntoDirectoryAsync(TableSession session, ArchiveHeader header, CancellationToken ct)
    {
        await program.PrepareAsync(target, header, ct);
        var tables = new List<TableCount>();
        await using (var fill = await target.Tables.FillAsync(ct))
        {
            var filling = await Filling.StartAsync(fill, header, ct);
            await filling.ClearAsync(ct);
            foreach (var table in header.Tables)
            {
                await foreach (var rows in BatchesAsync(session, table, 0, ct))
                {
                    await filling.AddAsync(table, rows, ct);
                    progress(new CopyProgress(table.Name, filling.CountOf(table).Rows, false));
                }

                tables.Add(filling.CountOf(table));
                progress(new CopyProgress(table.Name, filling.CountOf(table).Rows, true));
            }

            await filling.FinishAsync(ct);
            await fill.CommitAsync(ct);
        }

        program.Complete(target.Migrator);
        return new Moved(tables, await CopyFilesAsync(ct), 0);
    }

    /// <returns>How many rows of each table are there.</returns>
    static async Task<Dictionary<string, long>> BeginAsync(TableSession fill, ArchiveHeader header, CancellationToken ct)
    {
        if (!await fill.HasAsync(StoreTables.GrowProgress, ct))
        {
            var filling = await Filling.StartAsync(fill, header, ct);
            await filling.ClearAsync(ct);
            await fill.ExecuteAsync($"create table {StoreTables.GrowProgress} (name text primary key, copied bigint not null)", ct);
            await fill.CommitAsync(ct);
        }

        var progress = new StoredTable(StoreTables.GrowProgress, [new("copied", ""), new("name", "")], []);
        var copied = header.Tables.ToDictionary(t => t.Name, _ => 0L);
        await foreach (var row in fill.RowsAsync(progress, 0, ct))
            copied[(string)row[1]!] = (long)row[0]!; // neither is null
        return copied;
    }

    async Task CopyAsync(TableSession session, TableSession fill, StoredTable table, long copied, CancellationToken ct)
    {
        IReadOnlyList<string> columns = [.. table.Columns.Select(c => c.Name)];
        await foreach (var rows in BatchesAsync(session, table, copied, ct))
        {
            copied += rows.Count;
            await fill.AddAsync(table, columns, rows, ct);
            await fill.ExecuteAsync(string.Create(CultureInfo.InvariantCulture, $"""
                insert into {StoreTables.GrowProgress} (name, copied) values ('{table.Name}', {copied}) on conflict (name) do update set copied = excluded.copied
                """), ct);
            await fill.CommitAsync(ct);
            progress(new CopyProgress(table.Name, copied, false));
        }

        progress(new CopyProgress(table.Name, copied, true));
    }

    async Task<int> CopyFilesAsync(CancellationToken ct)
    {
        var copied = 0;
        await foreach (var file in source.Files.AllAsync(ct))
        {
            if (!await target.Files.ExistsAsync(file.Digest, ct))
                await using (var content = await source.Files.OpenAsync(file.Digest, ct))
                    if ((await target.Files.PutAsync(content, ct)).Digest != file.Digest)
                        throw new ArchiveException($"The file {file.Digest} did not arrive whole.");
            progress(new CopyProgress("files", ++copied, false));
        }

        progress(new CopyProgress("files", copied, true));
        return copied;
    }

    static async Task<TableCount> CompareAsync(TableSession session, TableSession fill, StoredTable table, CancellationToken ct)
    {
        var (here, there) = (await session.DigestAsync(table, ct), await fill.DigestAsync(table, ct));
        return here.Rows == there.Rows && here.ToString() == there.ToString()
            ? new TableCount(table.Name, here.Rows, here.ToString())
            : throw new ArchiveException(
                $"{table.Name} has {here.Rows} rows of digest {here} here and {there.Rows} of digest {there} there: one of the two was changed since the copy began. Say --restart to copy all of it anew.");
    }

    static async IAsyncEnumerable<List<object?[]>> BatchesAsync(TableSession session, StoredTable table, long skip, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken ct)
    {
        var rows = new List<object?[]>(TableSession.BatchRows);
        await foreach (var row in session.RowsAsync(table, skip, ct))
        {
            rows.Add(row);
            if (rows.Count < TableSession.BatchRows)
                continue;
            yield return rows;
            rows = new(TableSession.BatchRows);
        }

        if (rows.Count > 0)
            yield return rows;
    }
}

/// <summary>What was moved.</summary>
/// <param name="Tables">Compared on both sides.</param>
/// <param name="Files">How many.</param>
/// <param name="Resumed">Rows that were there from an earlier run.</param>
sealed record Moved(IReadOnlyList<TableCount> Tables, int Files, long Resumed)
{
    public long Rows => Tables.Sum(t => t.Rows);
}
