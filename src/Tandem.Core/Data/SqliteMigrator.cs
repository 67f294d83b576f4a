using DbUp;
using DbUp.Engine;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;

namespace Tandem.Core.Data;

/// <summary>Migrates the embedded database. DbUp takes no lock, so a lock file in the data directory does.</summary>
sealed class SqliteMigrator(DataDirectory data, ILogger<SqliteMigrator> logger) : Migrator
{
    public override string Engine => "sqlite";

    public override void Migrate(IReadOnlyList<Migration> migrations, IReadOnlyList<Func<Schema, string>> derived, bool wait)
    {
        Restrict();
        using var connection = new SqliteConnection($"Data Source={data.DatabaseFile};Pooling=False");
        connection.Open();
        var schema = new SqliteSchema(connection);
        schema.Execute("pragma busy_timeout = 30000");
        var missing = derived.Select(d => d(schema)).ToList();
        // The usual start: everything is there already. No lock is taken and DbUp is not even loaded.
        var wanted = Version(migrations);
        if (schema.Scalar("pragma user_version") == wanted && missing.All(string.IsNullOrEmpty))
            return;

        using var locked = Lock();
        schema.Execute("pragma journal_mode = wal");
        var result = DeployChanges.To
            .SqliteDatabase($"Data Source={data.DatabaseFile};Pooling=False")
            .WithScripts(migrations.Select(m => new SqlScript(m.Name, m.Sql)))
            .JournalToSqliteTable("core_migrations")
            .WithTransactionPerScript()
            .LogTo(new QuietUpgradeLog())
            .Build()
            .PerformUpgrade();
        if (!result.Successful)
            throw new InvalidOperationException($"Migration {result.ErrorScript?.Name} failed: {result.Error.Message}", result.Error);
        // Looked at again under the lock: another process may have made the tables meanwhile.
        foreach (var script in derived.Select(d => d(schema)).Where(s => s.Length > 0))
            schema.Execute(script);
        schema.Execute($"pragma user_version = {wanted}");
        if (result.Scripts.Any())
            logger.Migrated(result.Scripts.Count());
    }

    /// <summary>DbUp takes no lock: of ten processes starting at once two or three die on an empty database.</summary>
    FileStream Lock()
    {
        var path = data.Combine("migrate.lock");
        for (var waited = 0; ; waited += 50)
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (waited < 60_000)
            {
                Thread.Sleep(50);
            }
    }

    // Hashes and signing keys live here: nobody but the owner reads it, from its first moment on. SQLite gives its other files the same mode.
    void Restrict()
    {
        if (OperatingSystem.IsWindows())
            return;
        const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using (new FileStream(data.DatabaseFile, new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.ReadWrite, UnixCreateMode = OwnerOnly }))
            File.SetUnixFileMode(data.DatabaseFile, OwnerOnly);
    }
}

/// <summary>SQLite's names for things.</summary>
sealed class SqliteSchema(SqliteConnection connection) : Schema
{
    public override string Identity => "integer primary key autoincrement";

    public override IReadOnlyDictionary<string, string> Columns(string table)
    {
        using var command = connection.CreateCommand();
        command.CommandText = $"select name, type from pragma_table_info('{table}')";
        using var reader = command.ExecuteReader();
        var columns = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        while (reader.Read())
            columns.Add(reader.GetString(0), reader.GetString(1).ToLowerInvariant());
        return columns;
    }

    public override bool HasRows(string table) => Scalar($"select exists (select 1 from {table})") != 0;

    public override string TypeOf(Type type) => Type.GetTypeCode(type) switch
    {
        TypeCode.Boolean or TypeCode.Int64 => "integer",
        TypeCode.Double => "real",
        TypeCode.Decimal => "numeric",
        _ => "text",
    };

    public override string Literal(object value) => Rows.ToSqlite(value) switch
    {
        string text => $"'{text.Replace("'", "''", StringComparison.Ordinal)}'",
        double number => number.ToString("R", System.Globalization.CultureInfo.InvariantCulture),
        var number => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{number}"),
    };

    public void Execute(string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    public long Scalar(string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return (long)command.ExecuteScalar()!; // a pragma and exists always answer
    }
}
