using BenchmarkDotNet.Attributes;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Users;

namespace Tandem.Micro;

/// <summary>SQLite through <see cref="Db"/>, every commit flushed to the disk (<c>synchronous=FULL</c>).</summary>
public class Store
{
    const int Writers = 128;

    static readonly DateTime Now = new(2026, 1, 31, 12, 0, 0, DateTimeKind.Utc);

    readonly Task<int>[] _writes = new Task<int>[Writers];
    readonly Task[] _publications = new Task[Writers];
    Backend? _backend;
    Db? _db;
    UserTable? _users;

    [GlobalSetup]
    public async Task SetUp()
    {
        _backend = await Backend.StartAsync();
        (_db, _users) = (_backend.Get<Db>(), _backend.Get<UserTable>());
        await _db.ExecuteAsync($"create table micro_rows (id integer primary key, name text not null, price numeric not null)");
    }

    [GlobalCleanup]
    public async Task CleanUp() => await _backend!.DisposeAsync(); // made by SetUp, as all below

    [Benchmark(Description = "an account by id")]
    public async Task<bool> Read() => await _users!.FindAsync(_backend!.AccountId, default) is not null;

    [Benchmark(Description = "a row written, one writer (a flush each)")]
    public Task<int> WriteAlone() => WriteAsync();

    [Benchmark(Description = "a row written, 128 at once (a flush for all)", OperationsPerInvoke = Writers)]
    public Task WriteTogether()
    {
        for (var i = 0; i < Writers; i++)
            _writes[i] = WriteAsync();
        return Task.WhenAll(_writes);
    }

    [Benchmark(Description = "an event published, 128 at once (a flush for all)", OperationsPerInvoke = Writers)]
    public Task Publish()
    {
        for (var i = 0; i < Writers; i++)
            _publications[i] = _db!.InTransactionAsync(tx => tx.PublishAsync(new UserRegistered(_backend!.AccountId, Now)));
        return Task.WhenAll(_publications);
    }

    Task<int> WriteAsync() => _db!.ExecuteAsync($"insert into micro_rows (name, price) values ({"Pen"}, {1.5m})");
}
