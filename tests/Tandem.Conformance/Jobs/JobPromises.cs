using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Jobs;

namespace Tandem.Conformance.Jobs;

/// <summary>What every job queue promises.</summary>
public abstract class JobPromises
{
    private protected abstract Stores Stores { get; }

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_committed_job_runs_and_a_rolled_back_one_never()
    {
        await using var app = await Stores.StartAsync(a => a.Add<WorkModule>());
        var id = await app.Db.InTransactionAsync(tx => tx.EnqueueAsync(new Work("a"), null, Ct), Ct);
        await Assert.ThrowsAsync<InvalidOperationException>(() => app.Db.InTransactionAsync(async tx =>
        {
            await tx.EnqueueAsync(new Work("never"), null, Ct);
            throw new InvalidOperationException();
        }, Ct));
        await StateAsync(app, id, "completed");
        Assert.Equal(["a"], await app.Db.ListAsync<string>(Sql.Raw("select name from work_done"), Ct));
        Assert.Equal(1, await app.Db.FindAsync<long>(Sql.Raw("select count(*) from jobs_queue"), Ct));
    }

    [Fact]
    public async Task A_failing_job_is_tried_again_and_its_effect_happens_once()
    {
        await using var app = await Stores.StartAsync(a => a.Add<WorkModule>(), null, "--Jobs:RetryBase", "00:00:00.01");
        var id = await app.Db.InTransactionAsync(tx => tx.EnqueueAsync(new Work("late", FailFirst: 2), null, Ct), Ct);
        var job = await StateAsync(app, id, "completed");
        Assert.Equal(3, job.Attempt);
        Assert.Equal(["late"], await app.Db.ListAsync<string>(Sql.Raw("select name from work_done"), Ct));
    }

    [Fact]
    public async Task A_job_that_fails_every_time_is_discarded_with_its_error()
    {
        await using var app = await Stores.StartAsync(a => a.Add<WorkModule>(), null, "--Jobs:RetryBase", "00:00:00.01");
        var id = await app.Db.InTransactionAsync(tx => tx.EnqueueAsync(new Work("x", FailFirst: 9), new JobOptions { MaxAttempts = 3 }, Ct), Ct);
        var job = await StateAsync(app, id, "discarded");
        Assert.Equal((3, "not yet"), (job.Attempt, job.Error));
    }

    [Fact]
    public async Task What_finished_long_ago_is_deleted_and_nothing_else()
    {
        await using var app = await Stores.StartAsync();
        var now = DateTime.UtcNow;
        await app.Db.InTransactionAsync(async tx =>
        {
            // More than go at once.
            for (var i = 0; i < 1201; i++)
                await AddAsync(tx, "old", "completed", 40, 31);
            foreach (var state in new[] { "cancelled", "discarded" })
                await AddAsync(tx, "old", state, 40, 31);
            foreach (var state in new[] { "available", "running" })
                await AddAsync(tx, $"old {state}", state, 40, null);
            await AddAsync(tx, "old, finished lately", "completed", 40, 29);
            await AddAsync(tx, "new", "completed", 1, 0);
            return true;
        }, Ct);

        await app.Services.GetServices<IHostedService>().OfType<JobSweep>().Single().SweepAsync(Ct);

        Assert.Equal(["new", "old available", "old running", "old, finished lately"],
            await app.Db.ListAsync<string>(Sql.Raw("select kind from jobs_queue order by kind"), Ct));

        Task AddAsync(Transaction tx, string kind, string state, int createdDaysAgo, int? finishedDaysAgo)
        {
            var created = now.AddDays(-createdDaysAgo);
            return tx.ExecuteAsync($"""
                insert into jobs_queue (id, kind, payload, state, priority, run_at, max_attempts, created_at, finished_at)
                values ({Guid.CreateVersion7(created)}, {kind}, {"{}"}, {state}, 0, {created}, 1, {created}, {(finishedDaysAgo is { } days ? now.AddDays(-days) : (DateTime?)null)})
                """, Ct);
        }
    }

    [Fact]
    public async Task A_unique_key_gives_the_job_that_is_waiting()
    {
        await using var app = await Stores.StartAsync();
        var options = new JobOptions { UniqueKey = "one" };
        var first = await app.Db.InTransactionAsync(tx => tx.EnqueueAsync(new Work("a"), options, Ct), Ct);
        var second = await app.Db.InTransactionAsync(tx => tx.EnqueueAsync(new Work("b"), options, Ct), Ct);
        Assert.Equal(first, second);
    }

    [Fact]
    public async Task A_cancelled_job_stops_and_leaves_no_effect()
    {
        await using var app = await Stores.StartAsync(a => a.Add<WorkModule>(), null, "--Jobs:Lease", "00:00:03");
        var id = await app.Db.InTransactionAsync(tx => tx.EnqueueAsync(new Work("long", Hang: true), null, Ct), Ct);
        await StateAsync(app, id, "running");
        Assert.True(await app.Services.GetRequiredService<IJobQueue>().CancelAsync(id, Ct));
        await Eventually.TrueAsync(() => Task.FromResult(WorkModule.Stopped.ContainsKey(id)));
        Assert.Empty(await app.Db.ListAsync<string>(Sql.Raw("select name from work_done"), Ct));
        Assert.Equal("cancelled", (await app.Services.GetRequiredService<IJobQueue>().FindAsync(id, Ct))?.State);
    }

    [Fact]
    public async Task Stopping_gives_a_running_job_back_with_its_attempt_unspent()
    {
        var data = Stores.NewData();
        try
        {
            Guid id;
            await using (var app = TestApp.KeepData(await Stores.StartAsync(a => a.Add<WorkModule>(), data)))
            {
                id = await app.Db.InTransactionAsync(tx => tx.EnqueueAsync(new Work("long", Hang: true), null, Ct), Ct);
                await StateAsync(app, id, "running");
            }

            await using (var app = TestApp.KeepData(await Stores.StartAsync(data: data)))
            {
                var job = await app.Services.GetRequiredService<IJobQueue>().FindAsync(id, Ct);
                Assert.Equal(("available", 0), (job?.State, job?.Attempt));
            }
        }
        finally
        {
            if (Directory.Exists(data))
                Directory.Delete(data, recursive: true);
        }
    }

    [Fact]
    public async Task What_a_dead_process_was_working_on_is_taken_up_at_the_next_start()
    {
        var data = Stores.NewData();
        try
        {
            Guid id;
            await using (var app = TestApp.KeepData(await Stores.StartAsync(data: data)))
            {
                id = await app.Db.InTransactionAsync(tx => tx.EnqueueAsync(new Work("left"), null, Ct), Ct);
                // Claimed for an hour by a worker that never says another word.
                Assert.Single(await app.Services.GetRequiredService<IJobQueue>().ClaimAsync("dead", ["tests.work"], 1, TimeSpan.FromHours(1), Ct));
            }

            await using (var app = TestApp.KeepData(await Stores.StartAsync(a => a.Add<WorkModule>(), data)))
                Assert.Equal(2, (await StateAsync(app, id, "completed")).Attempt);
        }
        finally
        {
            if (Directory.Exists(data))
                Directory.Delete(data, recursive: true);
        }
    }

    [Fact]
    public async Task A_lease_that_ran_out_is_taken_over_and_the_old_owner_cannot_complete()
    {
        await using var app = await Stores.StartAsync();
        var queue = app.Services.GetRequiredService<IJobQueue>();
        await app.Db.InTransactionAsync(tx => tx.EnqueueAsync(new Work("a"), null, Ct), Ct);
        var first = Assert.Single(await queue.ClaimAsync("one", ["tests.work"], 5, TimeSpan.FromSeconds(30), Ct));
        Assert.Empty(await queue.ClaimAsync("two", ["tests.work"], 5, TimeSpan.FromSeconds(30), Ct));
        await queue.RecoverAsync("two", Ct);
        var second = Assert.Single(await queue.ClaimAsync("two", ["tests.work"], 5, TimeSpan.FromSeconds(30), Ct));
        Assert.Equal((first.Id, 2), (second.Id, second.Attempt));
        Assert.False(await queue.RenewAsync(first, TimeSpan.FromSeconds(30), null, null, Ct));
        Assert.False(await app.Db.InTransactionAsync(tx => queue.CompleteAsync(tx, first, Ct), Ct));
        Assert.True(await app.Db.InTransactionAsync(tx => queue.CompleteAsync(tx, second, Ct), Ct));
    }

    static async Task<JobView> StateAsync(TestApp app, Guid id, string state)
    {
        JobView? job = null;
        await Eventually.TrueAsync(async () => (job = await app.Services.GetRequiredService<IJobQueue>().FindAsync(id, Ct))?.State == state);
        return job!;
    }
}

/// <summary>A job of the tests.</summary>
[Job("tests.work")]
public sealed record Work(string Name, int FailFirst = 0, bool Hang = false);

/// <summary>A module of the tests that does <see cref="Work"/>.</summary>
public sealed class WorkModule : Module
{
    internal static readonly ConcurrentDictionary<Guid, bool> Stopped = new();

    public override string Name => "work";

    public override void Add(ModuleBuilder module) => module.Job<Work, Worker>();

    internal override string MissingSchema(Schema schema) => schema.Columns("work_done").Count > 0 ? "" : "create table work_done (name text)";

    sealed class Worker : IJobHandler<Work>
    {
        public async Task RunAsync(JobRun<Work> run, CancellationToken cancellationToken)
        {
            if (run.Job.Hang)
                try
                {
                    await Task.Delay(Timeout.Infinite, cancellationToken);
                }
                finally
                {
                    Stopped[run.Id] = true;
                }

            if (run.Attempt <= run.Job.FailFirst)
                throw new InvalidOperationException("not yet");
            await run.CompleteAsync(tx => tx.ExecuteAsync($"insert into work_done values ({run.Job.Name})", cancellationToken));
        }
    }
}

public sealed class SqliteJobTests : JobPromises
{
    private protected override Stores Stores { get; } = new EmbeddedStores();
}

public sealed class PostgresJobTests : JobPromises
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    private protected override Stores Stores { get; } = new PostgresStores();

    [Fact]
    public async Task Two_processes_share_the_work_and_none_of_it_is_done_twice()
    {
        var data = Stores.NewData();
        await using var one = await Stores.StartAsync(a => a.Add<WorkModule>(), data);
        await using var two = TestApp.KeepData(await Stores.StartAsync(a => a.Add<WorkModule>(), data));
        await one.Db.InTransactionAsync(async tx =>
        {
            for (var i = 0; i < 200; i++)
                await tx.EnqueueAsync(new Work("w" + i), null, Ct);
        }, Ct);
        await Eventually.TrueAsync(async () => await one.Db.FindAsync<long>(Sql.Raw("select count(*) from jobs_queue where state = 'completed'"), Ct) == 200);
        Assert.Equal(200, await one.Db.FindAsync<long>(Sql.Raw("select count(*) from work_done"), Ct));
        Assert.Equal(200, await one.Db.FindAsync<long>(Sql.Raw("select count(distinct name) from work_done"), Ct));
        Assert.Equal(2, await one.Db.FindAsync<long>(Sql.Raw("select count(distinct worker) from jobs_queue"), Ct));
    }
}
