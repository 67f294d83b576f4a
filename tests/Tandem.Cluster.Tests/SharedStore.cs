namespace Tandem.Cluster.Tests;

/// <summary>A database that several processes serve on.</summary>
sealed class SharedStore : IAsyncDisposable
{
    readonly string _root = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));

    public string[] Settings => [];

    public static Task<SharedStore> MakeAsync()
    {
        var store = new SharedStore();
        Directory.CreateDirectory(store._root);
        return Task.FromResult(store);
    }

    /// <summary>A data directory for one more process.</summary>
    public string NewDataDirectory()
    {
        var directory = Path.Combine(_root, Guid.NewGuid().ToString("n"));
        Directory.CreateDirectory(directory);
        File.CreateSymbolicLink(Path.Combine(directory, "tandem.db"), Path.Combine(_root, "shared.db"));
        return directory;
    }

    public ValueTask DisposeAsync()
    {
        Directory.Delete(_root, recursive: true);
        return ValueTask.CompletedTask;
    }
}
