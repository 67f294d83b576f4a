using Tandem.Core.Files;

namespace Tandem.Core.Backup;

/// <summary>Brings what an archive holds into an empty store.</summary>
static class Restore
{
    /// <summary>All or nothing: rows are kept only when everything was read, compared with the manifest, and read back from the store.</summary>
    /// <param name="archive">From its start.</param>
    /// <param name="target">Its tables lose the rows they have, such as those that migrations put in.</param>
    /// <param name="program">What the store's schema is in the end.</param>
    /// <param name="check">Throws when what is at the head of the archive does not suit the caller.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="ct">Ends it; nothing is kept then.</param>
    /// <exception cref="ArchiveException">The archive is damaged, of another schema, or does not arrive whole.</exception>
    public static async Task<Manifest> RunAsync(
        ArchiveReader archive, WholeStore target, ProgramSchema program, Action<ArchiveHeader> check, Action<CopyProgress> progress, CancellationToken ct)
    {
        var header = await archive.HeaderAsync(ct);
        check(header);
        try
        {
            return await FillAsync(archive, header, target, program, progress, ct);
        }
        // What damage does depends on where it is: a name that nobody knows, a value that a column does not take. The checksum tells.
        catch (Exception e) when (e is not OperationCanceledException)
        {
            await archive.RefuseDamagedAsync(ct);
            throw;
        }
    }

    static async Task<Manifest> FillAsync(ArchiveReader archive, ArchiveHeader header, WholeStore target, ProgramSchema program, Action<CopyProgress> progress, CancellationToken ct)
    {
        await program.PrepareAsync(target, header, ct);
        await using (var session = await target.Tables.FillAsync(ct))
        {
            var filling = await Filling.StartAsync(session, header, ct);
            await filling.ClearAsync(ct);
            var files = new List<StoredFile>();
            await foreach (var part in archive.PartsAsync(header, ct))
                if (part.Table is { } table)
                {
                    await foreach (var rows in archive.RowsAsync(part, table, ct))
                        await filling.AddAsync(table, rows, ct);
                    progress(new CopyProgress(table.Name, filling.CountOf(table).Rows, false));
                }
                else if (part.File is { } digest)
                {
                    files.Add(await target.Files.PutAsync(part.Content, ct));
                    if (files[^1].Digest != digest)
                        throw new ArchiveException($"The file {digest} of the archive is damaged; use another backup.");
                    progress(new CopyProgress("files", files.Count, false));
                }

            Compare(archive.Manifest, header, filling, files);
            foreach (var table in header.Tables)
                progress(new CopyProgress(table.Name, filling.CountOf(table).Rows, true));
            progress(new CopyProgress("files", files.Count, true));
            await filling.FinishAsync(ct);
            await session.CommitAsync(ct);
        }

        program.Complete(target.Migrator);
        return archive.Manifest;
    }

    static void Compare(Manifest manifest, ArchiveHeader header, Filling filling, List<StoredFile> files)
    {
        var read = header.Tables.Select(filling.CountOf).ToList();
        foreach (var (said, found) in manifest.Tables.Zip(read))
            if (said != found)
                throw new ArchiveException($"The archive holds {found.Rows} rows of {found.Name} with digest {found.Digest}, but was written with {said.Rows} of digest {said.Digest}: it is damaged; use another backup.");
        if (manifest.Tables.Count != read.Count || !manifest.Files.SequenceEqual(files))
            throw new ArchiveException("The archive does not hold the tables and files that its manifest names: it is damaged; use another backup.");
    }
}
