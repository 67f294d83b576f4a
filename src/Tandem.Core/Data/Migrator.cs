using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using DbUp;
using DbUp.Engine;
using DbUp.Engine.Output;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;

namespace Tandem.Core.Data;

/// <summary>Brings the database to the schema of the program: the modules' SQL files in order, each once, under a lock over all processes.</summary>
sealed class Migrator(DataDirectory data, ILogger<Migrator> logger)
{
    /// <param name="assemblies">Module name with the assembly that embeds its <c>Migrations/sqlite/*.sql</c>, in order.</param>
    /// <param name="generated">Scripts made by the program (tables of resources), run after them; they must be safe to run again.</param>
    public void Migrate(IReadOnlyList<(string Module, Assembly Assembly)> assemblies, IReadOnlyList<(string Name, Func<SqliteConnection, string> Script)> generated)
    {
        var scripts = assemblies.SelectMany(a => Scripts(a.Module, a.Assembly)).ToList();
        Restrict();
        using var connection = new SqliteConnection($"Data Source={data.DatabaseFile};Pooling=False");
        connection.Open();
        Execute(connection, "pragma busy_timeout = 30000");
        var made = generated.Select(g => g.Script(connection)).ToList();
        // The usual start: everything is there already. No lock is taken and DbUp is not even loaded.
        var wanted = Version(scripts.Select(s => s.Name + s.Contents));
        if (Scalar(connection, "pragma user_version") == wanted && made.All(string.IsNullOrEmpty))
            return;

        using var locked = Lock();
        Execute(connection, "pragma journal_mode = wal");
        var result = DeployChanges.To
            .SqliteDatabase($"Data Source={data.DatabaseFile};Pooling=False")
            .WithScripts(scripts)
            .JournalToSqliteTable("core_migrations")
            .WithTransactionPerScript()
            .LogTo(new Quiet())
            .Build()
            .PerformUpgrade();
        if (!result.Successful)
            throw new InvalidOperationException($"Migration {result.ErrorScript?.Name} failed: {result.Error.Message}", result.Error);
        // Looked at again under the lock: another process may have made the tables meanwhile.
        foreach (var script in generated.Select(g => g.Script(connection)).Where(s => s.Length > 0))
            Execute(connection, script);
        Execute(connection, $"pragma user_version = {wanted}");
        if (result.Scripts.Any())
            logger.Migrated(result.Scripts.Count());
    }

    static IEnumerable<SqlScript> Scripts(string module, Assembly assembly)
    {
        const string Folder = ".Migrations.sqlite.";
        foreach (var resource in assembly.GetManifestResourceNames().Order(StringComparer.Ordinal))
            if (resource.IndexOf(Folder, StringComparison.Ordinal) is var at and >= 0)
                using (var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!, Encoding.UTF8)) // listed just above
                    yield return new SqlScript($"{module}/{resource[(at + Folder.Length)..]}", reader.ReadToEnd());
    }

    static int Version(IEnumerable<string> texts) =>
        BitConverter.ToInt32(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\0', texts)))) & int.MaxValue;

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

    static void Execute(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    static long Scalar(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return (long)command.ExecuteScalar()!; // a pragma always answers
    }

    sealed class Quiet : IUpgradeLog
    {
        public void LogTrace(string format, params object[] args) { }
        public void LogDebug(string format, params object[] args) { }
        public void LogInformation(string format, params object[] args) { }
        public void LogWarning(string format, params object[] args) { }
        public void LogError(string format, params object[] args) { }
        public void LogError(Exception ex, string format, params object[] args) { }
    }
}
