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
