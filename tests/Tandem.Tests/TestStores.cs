using Npgsql;

namespace Tandem.Tests;

/// <summary>
/// Which stores the suite runs on: embedded ones, or, when TANDEM_TEST_POSTGRES names a throw-away server (with the right to create
/// databases), PostgreSQL with a database for each data directory.
/// </summary>
static class TestStores
{
    static readonly string? Postgres = Environment.GetEnvironmentVariable("TANDEM_TEST_POSTGRES");
    static readonly Lazy<Task<string>> Template = new(MakeTemplateAsync);

    public static bool OnPostgres => Postgres is { Length: > 0 };

    /// <summary>Skips a test that is about the file of the embedded database.</summary>
    public static void OnlyEmbedded() => Assert.SkipWhen(OnPostgres, "It is about the file of the embedded database.");

    /// <summary>The settings that put a program on the stores of a data directory; the database is made when it is not there.</summary>
    public static async Task<string[]> SettingsAsync(string data)
    {
        if (!OnPostgres)
            return [];
        await CreateAsync(NameOf(data), await Template.Value);
        return ["--Postgres:ConnectionString", ConnectionString(NameOf(data)), "--Postgres:MaxPoolSize", "12"];
    }

    /// <summary>Throws away what a data directory had.</summary>
    public static async Task DropAsync(string data)
    {
        if (OnPostgres)
            await RunAsync("postgres", $"drop database if exists {NameOf(data)} with (force)");
    }

    public static string ConnectionString(string data, string? more = null) => new NpgsqlConnectionStringBuilder(Postgres + more)
    {
        Database = data.Contains(Path.DirectorySeparatorChar) ? NameOf(data) : data,
    }.ConnectionString;

    static string NameOf(string data) => "t_" + Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(Path.GetFullPath(data)))[..12]);

    /// <summary>A database with the migrations of the built-in modules: copying it takes a tenth of making it.</summary>
    static async Task<string> MakeTemplateAsync()
    {
        var name = $"template_{Environment.ProcessId}";
        await RunAsync("postgres", $"create database {name}");
        var data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        using (var process = Programs.Start("doctor", "--data", data, "--urls", "http://127.0.0.1:0", "--Postgres:ConnectionString", ConnectionString(name)))
        {
            var output = process.StandardOutput.ReadToEndAsync();
            await process.WaitForExitAsync();
            if (process.ExitCode != 0)
                throw new InvalidOperationException($"The template database could not be made: {await output} {await process.StandardError.ReadToEndAsync()}");
        }

        Directory.Delete(data, recursive: true);
        return name;
    }

    static async Task CreateAsync(string name, string template)
    {
        try
        {
            await RunAsync("postgres", $"create database {name} template {template}");
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.DuplicateDatabase)
        {
            // A test that starts on its data directory a second time.
        }
    }

    static async Task RunAsync(string database, string sql)
    {
        await using var source = NpgsqlDataSource.Create(ConnectionString(database, ";Pooling=false"));
        await using var command = source.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}
