using Microsoft.Extensions.Logging.Abstractions;
using Tandem.Core.Data;
using Tandem.Core.Files;

namespace Tandem.Core.Backup;

/// <summary>All that a Tandem keeps: its schema, its rows and its files.</summary>
sealed record WholeStore(Migrator Migrator, StoreTables Tables, IFileStore Files)
{
    /// <summary>The embedded store of a data directory.</summary>
    public static WholeStore Embedded(DataDirectory data, TimeProvider clock) =>
        new(new SqliteMigrator(data, NullLogger<SqliteMigrator>.Instance), new SqliteTables(data), new DirectoryFiles(data, clock));
}

/// <summary>The schema of a program: the migrations of its modules for an engine, and what makes the tables of its types.</summary>
sealed record ProgramSchema(Func<string, IReadOnlyList<Migration>> Migrations, IReadOnlyList<Func<Schema, string>> Derived)
{
    /// <summary>Brings a store to this program's schema.</summary>
    public void Complete(Migrator migrator, bool wait = false) => migrator.Migrate(Migrations(migrator.Engine), Derived, wait);

    /// <summary>Brings an empty store to the schema that rows are from, which may be of an earlier program.</summary>
    /// <exception cref="ArchiveException">It is of a later one, or the store is further.</exception>
    public async Task PrepareAsync(WholeStore store, ArchiveHeader source, CancellationToken ct)
    {
        var known = Migrations(store.Migrator.Engine);
        if (source.Migrations.FirstOrDefault(name => known.All(m => m.Name != name)) is { } later)
            throw new ArchiveException($"The rows are of a schema that this program does not know ({later}); use the program that wrote them (version {source.Program}) or a later one.");
        if (await store.Tables.ExistsAsync(ct))
        {
            await using var session = await store.Tables.ReadAsync(ct);
            if ((await session.MigrationsAsync(ct)).Except(source.Migrations).FirstOrDefault() is { } further)
                throw new ArchiveException($"The database has a later schema than the rows ({further}): make a new, empty one and name that.");
        }

        store.Migrator.Migrate([.. known.Where(m => source.Migrations.Contains(m.Name))], [.. Derived, schema => Fit(schema, source)], wait: false);
    }

    /// <summary>
    /// What makes the tables of types as wide as the rows that are to come: a property that the program has no more keeps its column, and one that
    /// is new gets its column, with its default, once the rows are there.
    /// </summary>
    static string Fit(Schema schema, ArchiveHeader source)
    {
        var script = new System.Text.StringBuilder();
        foreach (var table in source.Tables.Where(t => t.Name.StartsWith("resources_", StringComparison.Ordinal)))
        {
            var there = schema.Columns(table.Name);
            if (there.Count == 0)
            {
                script.Append($"create table {table.Name} ({string.Join(", ", table.Columns.Select(c => c.Name == "id" ? $"id {schema.Identity}" : Declare(c)))});\n");
                continue;
            }

            foreach (var column in table.Columns.Where(c => !there.ContainsKey(c.Name)))
                script.Append($"alter table {table.Name} add column {Declare(column)};\n");
            foreach (var column in there.Keys.Where(c => table.Columns.All(t => t.Name != c)))
                script.Append($"alter table {table.Name} drop column {TableSession.Quote(column)};\n");
        }

        return script.ToString();

        string Declare(StoredColumn column) => $"{TableSession.Quote(column.Name)} {schema.Declare(ClrType(column.Type))}";
    }

    // Types as SQLite and PostgreSQL declare them.
    static Type ClrType(string type) => type switch
    {
        "integer" or "bigint" => typeof(long),
        "boolean" => typeof(bool),
        "real" or "double precision" => typeof(double),
        "numeric" => typeof(decimal),
        "timestamp with time zone" => typeof(DateTime),
        "date" => typeof(DateOnly),
        "uuid" => typeof(Guid),
        _ => typeof(string),
    };
}
