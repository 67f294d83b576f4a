using System.Collections.Concurrent;
using System.Diagnostics;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Core.Jobs;

namespace Tandem.Cluster.Tests;

/// <summary>
/// A process that is cut off from the database without a word, while the database takes it for alive: it holds locks and has transactions open.
/// Others take over from it, and when it is back it does no harm.
/// </summary>
public sealed class ZombieTests
{
    // Four seconds for the lease and for a transaction in the middle of which somebody fell silent, and room for a busy machine.
    static readonly TimeSpan TakeOver = TimeSpan.FromSeconds(12);

    const int Keys = 4;

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Another_process_handles_the_events_and_each_has_its_effect_once_and_in_order(bool isInTheMiddleOfOne)
    {
        await using var cluster = await Cluster.StartAsync(app => app.Add<GraveyardModule>());
        await using var network = FlakyProxy.ToPostgres(cluster.Store.ConnectionString);
        var zombie = await cluster.AddWholeAsync(network);
        await SayAsync(zombie, 0, 20);
        await UntilHeardAsync(zombie, 20 * Keys);
        var heir = await cluster.AddWholeAsync();
        using var stop = new CancellationTokenSource();

        using var hold = isInTheMiddleOfOne ? Graveyard.HoldIn(zombie) : null;
        var saying = SayAsync(heir, 20, 200);
        if (hold is not null)
            await hold.Reached.WaitAsync(Ct);
        network.Freeze();
        var frozen = Stopwatch.GetTimestamp();
        await UntilHeardAsync(heir, (20 + 1) * Keys);
        // What was handled already when the network froze may be counted above; what is said from now on cannot be.
        await SayAsync(heir, 1000, 1, "after");
        await Eventually.TrueAsync(async () => await heir.Db.FindAsync<long>($"select count(*) from graveyard_heard where key = {"after"}", Ct) == 1, seconds: 40);
        var took = Stopwatch.GetElapsedTime(frozen);
        TestContext.Current.SendDiagnosticMessage($"Events are handled again {took.TotalSeconds:0.00} s after their process was cut off ({(isInTheMiddleOfOne ? "in" : "between")} transactions)");
        Assert.InRange(took, TimeSpan.Zero, TakeOver);

        await saying;
        network.Pass();
        hold?.LetGo();
        await Eventually.TrueAsync(() => AnswersAsync(zombie));
        await SayAsync(zombie, 220, 20);
        await UntilHeardAsync(heir, 240 * Keys);
        for (var key = 0; key < Keys; key++)
            Assert.Equal(Enumerable.Range(0, 240).Select(n => (long)n),
                await heir.Db.ListAsync<long>($"select number from graveyard_heard where key = {$"k{key}"} order by place", Ct));
        // Nor was anything put into the log twice.
        Assert.Equal(240 * Keys + 1, await heir.Db.FindAsync<long>(Sql.Raw("select count(*) from events_log where name = 'tests.said'"), Ct));
    }

    [Fact]
    public async Task Another_process_does_the_job_and_the_one_that_comes_back_is_refused()
    {
        await using var cluster = await Cluster.StartAsync(app => app.Add<GraveyardModule>());
        await using var network = FlakyProxy.ToPostgres(cluster.Store.ConnectionString);
        var zombie = await cluster.AddWholeAsync(network);
        using var hold = Graveyard.HoldIn(zombie);
        var id = await zombie.Db.InTransactionAsync(tx => tx.EnqueueAsync(new Bury("x"), null, Ct), Ct);
        await hold.Reached.WaitAsync(Ct);

        network.Freeze();
        var frozen = Stopwatch.GetTimestamp();
        var heir = await cluster.AddWholeAsync();
        await Eventually.TrueAsync(async () => await heir.Db.FindAsync<string>($"select state from jobs_queue where id = {id}", Ct) == "completed", seconds: 40);
        var took = Stopwatch.GetElapsedTime(frozen);
        TestContext.Current.SendDiagnosticMessage($"The job was done by another {took.TotalSeconds:0.00} s after its process was cut off");
        Assert.InRange(took, TimeSpan.Zero, TakeOver);

        network.Pass();
        await Eventually.TrueAsync(() => AnswersAsync(zombie));
        hold.LetGo();
        Assert.True(await hold.WasRefused.WaitAsync(Ct));
        Assert.Equal([2L], await heir.Db.ListAsync<long>(Sql.Raw("select attempt from graveyard_buried"), Ct));
    }

    static Task SayAsync(TestApp app, int first, int count) => Parallel.ForEachAsync(Enumerable.Range(0, Keys), Ct, async (key, _) => await SayAsync(app, first, count, $"k{key}"));

    static async Task SayAsync(TestApp app, int first, int count, string key)
    {
        for (var number = first; number < first + count; number++)
            await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Said(key, number), Ct), Ct);
    }

    static Task UntilHeardAsync(TestApp app, int count) => Eventually.TrueAsync(async () =>
        await app.Db.FindAsync<long>(Sql.Raw("select count(*) from graveyard_heard where key <> 'after'"), Ct) >= count, seconds: 60);

    static async Task<bool> AnswersAsync(TestApp app)
    {
        try
        {
            return await app.Db.FindAsync<long>(Sql.Raw("select 1"), Ct) == 1;
        }
        catch (StoreUnavailableException)
        {
            return false;
        }
    }
}

[Event("tests.said")]
public sealed record Said(string Key, int Number);

[Job("tests.bury")]
public sealed record Bury(string Name);

/// <summary>Consumers and jobs that can be held up in one process.</summary>
static class Graveyard
{
    static readonly ConcurrentDictionary<string, Hold> Holds = new();

    /// <summary>The next event or job of this process is held up in the middle.</summary>
    public static Hold HoldIn(TestApp app) => Holds[app.Data] = new Hold(() => Holds.TryRemove(app.Data, out _));

    public static Hold? Of(string data) => Holds.GetValueOrDefault(data);

    public sealed class Hold(Action end) : IDisposable
    {
        readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
        readonly TaskCompletionSource _letGo = new(TaskCreationOptions.RunContinuationsAsynchronously);
        readonly TaskCompletionSource<bool> _refused = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Reached => _reached.Task;

        /// <summary>Whether what it wanted to store in the end was refused.</summary>
        public Task<bool> WasRefused => _refused.Task;

        public void LetGo() => _letGo.TrySetResult();

        public void Refused(bool was) => _refused.TrySetResult(was);

        public Task WaitAsync()
        {
            _reached.TrySetResult();
            return _letGo.Task;
        }

        public void Dispose()
        {
            LetGo();
            end();
        }
    }
}

sealed class GraveyardModule : Module
{
    public override string Name => "graveyard";

    public override void Add(ModuleBuilder module)
    {
        module.Consume<Said, Hear>();
        module.Job<Bury, Burier>();
    }

    internal override string MissingSchema(Schema schema) => schema.Columns("graveyard_heard").Count > 0
        ? ""
        : $"""
            create table graveyard_heard (place {schema.Identity}, key text not null, number bigint not null);
            create table graveyard_buried (name text not null, attempt bigint not null);
            """;

    sealed class Hear(DataDirectory data) : IConsumer<Said>
    {
        public async Task HandleAsync(Delivery<Said> delivery, Transaction tx, CancellationToken cancellationToken)
        {
            await tx.ExecuteAsync($"insert into graveyard_heard (key, number) values ({delivery.Event.Key}, {delivery.Event.Number})", cancellationToken);
            if (Graveyard.Of(data.Path) is { } hold)
                await hold.WaitAsync();
        }
    }

    sealed class Burier(DataDirectory data) : IJobHandler<Bury>
    {
        public async Task RunAsync(JobRun<Bury> run, CancellationToken cancellationToken)
        {
            var hold = Graveyard.Of(data.Path);
            if (hold is not null)
                await hold.WaitAsync();
            try
            {
                await run.CompleteAsync(tx => tx.ExecuteAsync($"insert into graveyard_buried (name, attempt) values ({run.Job.Name}, {run.Attempt})", cancellationToken));
                hold?.Refused(false);
            }
            catch (OperationCanceledException)
            {
                hold?.Refused(true);
                throw;
            }
        }
    }
}
