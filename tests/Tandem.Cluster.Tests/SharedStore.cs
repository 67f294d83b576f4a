namespace Tandem.Cluster.Tests;

/// <summary>A PostgreSQL database that several processes serve on.</summary>
sealed class SharedStore : IAsyncDisposable
{
    readonly string _root;

    /// <summary>What puts a process on it.</summary>
    public string[] Settings { get; private init; } = [];

    public static async Task<SharedStore> MakeAsync()
    {
        TestStores.NeedsPostgres();
        var root = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));
        return new SharedStore(root) { Settings = await TestStores.PostgresAsync(root) };
    }

    /// <summary>Where it is, for a look past the processes.</summary>
    public string ConnectionString => Settings[1];

    /// <summary>What puts a process on it whose way there is this one.</summary>
    public string[] Through(FlakyProxy network) =>
        [Settings[0], new Npgsql.NpgsqlConnectionStringBuilder(ConnectionString) { Host = "127.0.0.1", Port = network.Port }.ConnectionString, .. Settings[2..]];

    SharedStore(string root) => _root = root;

    /// <summary>A data directory for one more process.</summary>
    public string NewDataDirectory() => Path.Combine(_root, Guid.NewGuid().ToString("n"));

    public async ValueTask DisposeAsync()
    {
        if (Directory.Exists(_root))
            Directory.Delete(_root, recursive: true);
        await TestStores.DropAsync(_root);
    }
}
