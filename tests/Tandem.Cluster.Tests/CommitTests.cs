using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem.Cluster.Tests;

/// <summary>The connection to the database breaks while a commit is on its way: before it arrives, or before its answer does.</summary>
public sealed class CommitTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_commit_in_doubt_is_told_as_one_and_never_sent_again(bool arrives)
    {
        await using var cluster = await Cluster.StartAsync(app => app.Add<GraveyardModule>());
        await using var network = FlakyProxy.ToPostgres(cluster.Store.ConnectionString);
        var app = await cluster.AddWholeAsync(network);
        var runs = 0;
        // The event travels with the commit.
        var isCut = network.CutAt("now-or-never", arrives);
        var told = await Assert.ThrowsAsync<StoreUnavailableException>(() => app.Db.InTransactionAsync(async tx =>
        {
            runs++;
            await tx.ExecuteAsync($"insert into graveyard_buried (name, attempt) values ({"doubt"}, {1})", Ct);
            await tx.PublishAsync(new Said("now-or-never", 1), Ct);
        }, Ct));
        await isCut.WaitAsync(Ct);
        Assert.Contains("not known whether it was kept", told.Message);
        Assert.Equal(1, runs);
        Assert.Equal(arrives ? 1 : 0, await app.Db.FindAsync<long>(Sql.Raw("select count(*) from graveyard_buried"), Ct));
        if (arrives)
            await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>(Sql.Raw("select count(*) from graveyard_heard"), Ct) == 1);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_request_with_a_key_whose_commit_was_in_doubt_happens_once_and_is_acknowledged(bool arrives)
    {
        await using var cluster = await Cluster.StartAsync(app => app.Resource<Stone>("/stones"));
        await using var network = FlakyProxy.ToPostgres(cluster.Store.ConnectionString);
        var app = await cluster.AddWholeAsync(network);
        using var person = await app.PersonAsync();
        // The event and the answer that is kept go by, and then the commit.
        var isCut = network.CutAt("\"name\":\"Doubtful\"", arrives, later: 1);
        var key = Guid.NewGuid().ToString();
        using var first = await PostAsync();
        Assert.Equal(201, (int)first.StatusCode);
        await isCut.WaitAsync(Ct);
        using var second = await PostAsync();
        Assert.Equal(await first.Content.ReadAsStringAsync(Ct), await second.Content.ReadAsStringAsync(Ct));
        Assert.Equal("1", (await person.Http.GetAsync("/stones?limit=1", Ct)).Headers.GetValues("X-Total-Count").Single());

        Task<HttpResponseMessage> PostAsync()
        {
            var request = new HttpRequestMessage(HttpMethod.Post, "/stones") { Content = new StringContent("""{"name":"Doubtful"}""", null, "application/json") };
            request.Headers.Add("Idempotency-Key", key);
            return person.Http.SendAsync(request, Ct);
        }
    }

    [Fact]
    public async Task A_statement_that_never_arrived_is_run_again_and_nobody_notices()
    {
        await using var cluster = await Cluster.StartAsync(app => app.Add<GraveyardModule>());
        await using var network = FlakyProxy.ToPostgres(cluster.Store.ConnectionString);
        var app = await cluster.AddWholeAsync(network);
        foreach (var arrives in new[] { true, false })
        {
            var isCut = network.CutAt($"body-{arrives}", arrives);
            await app.Db.InTransactionAsync(tx => tx.ExecuteAsync($"insert into graveyard_buried (name, attempt) values ({$"body-{arrives}"}, {1})", Ct), Ct);
            await isCut.WaitAsync(Ct);
        }

        Assert.Equal(["body-False", "body-True"], (await app.Db.ListAsync<string>(Sql.Raw("select name from graveyard_buried"), Ct)).Order());
    }

    public sealed record Stone(string Name);
}
