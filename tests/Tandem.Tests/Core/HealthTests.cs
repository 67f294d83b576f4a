using Tandem.Core;

namespace Tandem.Tests.Core;

public sealed class HealthTests
{
    [Fact]
    public async Task Health_is_open_and_says_healthy()
    {
        await using var app = await TestApp.StartAsync();
        Assert.Equal("""{"status":"healthy"}""", await app.Http.GetStringAsync("/health", TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Readiness_names_each_store()
    {
        await using var app = await TestApp.StartAsync();
        var ready = await (await app.Http.GetAsync("/health/ready", TestContext.Current.CancellationToken)).JsonAsync();
        Assert.Equal("ready", ready.GetProperty("status").GetString());
        Assert.Contains(ready.GetProperty("checks").EnumerateArray(), c => c.GetProperty("name").GetString() == app.Db.Engine);
    }

    [Fact]
    public async Task A_check_that_does_not_end_is_begun_once_however_often_somebody_asks()
    {
        var ct = TestContext.Current.CancellationToken;
        await using var app = await TestApp.StartAsync(a => a.Add<SilentModule>());
        var first = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => app.Http.GetAsync("/health/ready", ct)));
        Assert.All(first, r => Assert.Equal(503, (int)r.StatusCode));
        Assert.Equal(1, SilentModule.Begun);
        SilentModule.End.SetResult();
        Assert.Equal(200, (int)(await app.Http.GetAsync("/health/ready", ct)).StatusCode);
    }

    sealed class SilentModule : Module
    {
        public static int Begun;
        public static readonly TaskCompletionSource End = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public override string Name => "silent";

        public override void Add(ModuleBuilder module) => module.Ready("silent", (_, _) =>
        {
            Interlocked.Increment(ref Begun);
            return End.Task;
        });
    }

    [Fact]
    public async Task What_is_not_there_is_a_problem_and_a_closed_endpoint_wants_a_token()
    {
        await using var app = await TestApp.StartAsync();
        await (await app.Http.GetAsync("/nothing", TestContext.Current.CancellationToken)).ShouldBeProblemAsync(404, "http/not-found");
        await (await app.Http.DeleteAsync("/health", TestContext.Current.CancellationToken)).ShouldBeProblemAsync(405, "http/method-not-allowed");
        var closed = await app.Http.GetAsync("/jobs", TestContext.Current.CancellationToken);
        await closed.ShouldBeProblemAsync(401, "http/unauthorized");
        Assert.Equal("Bearer", closed.Headers.WwwAuthenticate.ToString());
    }
}
