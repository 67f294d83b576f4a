using Tandem.Bench.Benchmarks;
using Tandem.Bench.Peers;

namespace Tandem.Bench.Backend;

/// <summary>The directory for everybody's data: on one file system, because what is durable waits for it. It goes with the run.</summary>
sealed class BackendFiles : IAsyncDisposable
{
    readonly Session _session;
    readonly string _inside;

    public BackendFiles(Session session)
    {
        _session = session;
        _inside = $"{PeerFolder.Work}/backend-{Guid.NewGuid():n}";
        session.Own(this);
    }

    /// <summary>As a program in the Debian folder sees it.</summary>
    public string Inside(string name) => $"{_inside}/{name}";

    /// <summary>The same as a program on this machine sees it.</summary>
    public string Outside(string name) => Path.Combine(_session.HasFolder ? _session.Folder.Outside(_inside) : Path.Combine(_session.Temporary, Name), name);

    /// <summary>As the peer sees it.</summary>
    public string Of(Peer peer, string name) => peer.IsHere ? Outside(name) : Inside(name);

    const string Name = "backend";

    public ValueTask DisposeAsync()
    {
        if (Directory.Exists(Outside("")))
            Directory.Delete(Outside(""), recursive: true);
        return ValueTask.CompletedTask;
    }
}
