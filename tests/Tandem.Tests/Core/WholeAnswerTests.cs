using System.Net;
using System.Net.Http.Json;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Tandem.Core.Cache;
using Tandem.Core.Http;
using Tandem.Transport;

namespace Tandem.Tests.Core;

/// <summary>How an answer leaves: in one piece where it is made in one go, and on which thread.</summary>
[Storeless("How an answer leaves, whatever it holds.")]
public sealed class WholeAnswerTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("/object")]
    [InlineData("/result")]
    [InlineData("/later")]
    public async Task A_small_json_answer_says_how_long_it_is(string path)
    {
        await using var app = await TestApp.StartAsync(a =>
        {
            a.MapGet("/object", () => new Named("Ada")).AllowAnonymous();
            a.MapGet("/result", () => TypedResults.Created("/x", new Named("Ada"))).AllowAnonymous();
            a.MapGet("/later", async () =>
            {
                await Task.Delay(1);
                return new Named("Ada");
            }).AllowAnonymous();
        });
        for (var i = 0; i < 3; i++)
        {
            using var answer = await app.Http.GetAsync(path, HttpCompletionOption.ResponseHeadersRead, Ct);
            Assert.Equal("""{"name":"Ada"}""".Length, answer.Content.Headers.ContentLength);
            Assert.Equal("application/json; charset=utf-8", answer.Content.Headers.ContentType!.ToString());
            Assert.Equal("Ada", (await answer.Content.ReadFromJsonAsync<Named>(Ct))!.Name);
        }
    }

    [Theory]
    [InlineData(10)]
    [InlineData(15_000)]
    [InlineData(17_000)]
    [InlineData(1_000_000)]
    public async Task An_answer_of_any_size_arrives_whole(int count)
    {
        await using var app = await TestApp.StartAsync(a => a.MapGet("/many", () => Enumerable.Range(0, count / 10).Select(n => new Named($"name {n}")).ToArray()).AllowAnonymous());
        for (var i = 0; i < 3; i++)
            Assert.Equal(Enumerable.Range(0, count / 10).Select(n => new Named($"name {n}")), await app.Http.GetFromJsonAsync<Named[]>("/many", Ct));
    }

    [Fact]
    public async Task What_comes_one_after_the_other_is_not_held_back()
    {
        var goOn = new SemaphoreSlim(0);
        async IAsyncEnumerable<Named> Elements([EnumeratorCancellation] CancellationToken ct = default)
        {
            yield return new Named("first");
            await goOn.WaitAsync(ct);
            yield return new Named("second");
        }

        await using var app = await TestApp.StartAsync(a =>
        {
            a.MapGet("/elements", () => Elements()).AllowAnonymous();
            a.MapGet("/by-hand", async (HttpContext context) =>
            {
                await context.Response.WriteAsJsonAsync(new Named("first"), Ct);
                await goOn.WaitAsync(Ct);
                await context.Response.WriteAsync(JsonSerializer.Serialize(new Named("second")), Ct);
            }).AllowAnonymous();
        });
        foreach (var path in new[] { "/elements", "/by-hand" })
        {
            using var answer = await app.Http.GetAsync(path, HttpCompletionOption.ResponseHeadersRead, Ct);
            using var body = await answer.Content.ReadAsStreamAsync(Ct);
            var (buffer, read) = (new byte[1000], 0);
            while (!Encoding.UTF8.GetString(buffer, 0, read).Contains("first", StringComparison.Ordinal))
                read += await body.ReadAsync(buffer.AsMemory(read), Ct).AsTask().WaitAsync(TimeSpan.FromSeconds(90), Ct);
            goOn.Release();
            Assert.Contains("second", await new StreamReader(body).ReadToEndAsync(Ct));
        }
    }

    [Fact]
    public async Task A_value_that_cannot_be_written_is_a_problem_or_breaks_the_answer_off_and_never_looks_whole()
    {
        await using var app = await TestApp.StartAsync(a =>
        {
            a.MapGet("/at-once", () => new Broken(0)).AllowAnonymous();
            a.MapGet("/late", () => new Broken(200_000)).AllowAnonymous();
            a.MapGet("/after", () => new Named("Ada")).AddEndpointFilter(async (context, next) =>
            {
                await ((IResult)Results.Json(await next(context))).ExecuteAsync(context.HttpContext);
                throw new InvalidOperationException("after the answer");
            }).AllowAnonymous();
        });
        await (await app.Http.GetAsync("/at-once", Ct)).ShouldBeProblemAsync(500, "http/failed");
        foreach (var path in new[] { "/late", "/after" })
            await Assert.ThrowsAsync<HttpRequestException>(() => app.Http.GetStringAsync(path, Ct));
        // Nothing is left of it on the connections.
        await (await app.Http.GetAsync("/at-once", Ct)).ShouldBeProblemAsync(500, "http/failed");
    }

    [Theory]
    [InlineData(10)]
    [InlineData(50_000)]
    public async Task What_a_module_changes_or_adds_on_the_way_arrives_as_it_made_it(int length)
    {
        await using var app = await TestApp.StartAsync(a =>
        {
            a.Add(new ChangingModule());
            a.MapGet("/changed", () => new Named(new string('a', length))).AllowAnonymous();
            a.MapGet("/added", () => new Named(new string('a', length))).AllowAnonymous();
            a.MapGet("/failed", () => new Named(new string('a', length))).AllowAnonymous();
        });
        var name = $$"""{"name":"{{new string('a', length)}}"}""";
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal($$$"""{"data":{{{name}}}}""", await app.Http.GetStringAsync("/changed", Ct));
            Assert.Equal(name + "and more", await app.Http.GetStringAsync("/added", Ct));
            await Assert.ThrowsAsync<HttpRequestException>(() => app.Http.GetStringAsync("/failed", Ct));
        }
    }

    [Fact]
    public async Task An_endpoint_that_never_blocks_is_answered_on_the_loop_and_what_a_cache_computes_is_not()
    {
        Assert.SkipUnless(EventLoopTransport.IsSupported, "There are event loops on Linux only.");
        await using var app = await TestApp.StartAsync(a =>
        {
            a.MapGet("/where", () => EventLoop.IsCurrent).AllowAnonymous().NeverBlocks();
            a.MapGet("/usual", () => EventLoop.IsCurrent).AllowAnonymous();
            a.MapGet("/cached/{key}", async (string key, Cache<string, Where> cache, CancellationToken ct) =>
            {
                var asked = EventLoop.IsCurrent;
                return new Asked(asked, await cache.GetOrComputeAsync(key, (_, _) => ValueTask.FromResult(new Where(EventLoop.IsCurrent)), cancellationToken: ct), EventLoop.IsCurrent);
            }).AllowAnonymous().NeverBlocks();
        });
        // A request that is there before the one before has been done away with is taken up where that was.
        await Eventually.TrueAsync(async () => await app.Http.GetStringAsync("/where", Ct) == "true");
        Assert.Equal("false", await app.Http.GetStringAsync("/usual", Ct));
        var (n, asked) = (0, new Asked(false, new Where(true), false));
        await Eventually.TrueAsync(async () =>
        {
            asked = (await app.Http.GetFromJsonAsync<Asked>($"/cached/{n++}", Ct))!;
            Assert.False(asked.Computed.OnLoop);
            return asked.Before;
        });
        await Eventually.TrueAsync(async () => await app.Http.GetFromJsonAsync<Asked>("/cached/0", Ct) == new Asked(true, new Where(false), true));
    }

    [Fact]
    public async Task Who_says_that_he_never_blocks_and_does_is_named_in_the_log()
    {
        Assert.SkipUnless(EventLoopTransport.IsSupported, "There are event loops on Linux only.");
        var log = new Lines();
        await using var app = await TestApp.StartAsync(a =>
        {
            a.Services.AddLogging(l => l.AddProvider(log));
            a.MapGet("/liar", () => Thread.Sleep(60)).AllowAnonymous().NeverBlocks();
        }, null, "--Log:Level", "Warning");
        for (var i = 0; i < 3; i++)
            Assert.Equal(HttpStatusCode.OK, (await app.Http.GetAsync("/liar", Ct)).StatusCode);
        await Eventually.TrueAsync(() => Task.FromResult(log.All.Any(l => l.Id == 1121)));
        Assert.Contains("/liar", Assert.Single(log.All, l => l.Id == 1121).Text);
    }

    /// <summary>Sends other bytes than the endpoint wrote, or more of them, or fails behind it.</summary>
    sealed class ChangingModule : Tandem.Core.Module
    {
        public override string Name => "changing";

        public override void Use(IApplicationBuilder app) => app.Use(async (context, next) =>
        {
            var (sent, written) = (context.Response.Body, new MemoryStream());
            if (context.Request.Path == "/changed")
                context.Response.Body = written;
            await next(context);
            if (context.Request.Path == "/failed")
                throw new InvalidOperationException("behind the answer");
            if (context.Request.Path == "/added")
                await context.Response.WriteAsync("and more", Ct);
            if (context.Request.Path != "/changed")
                return;
            context.Response.Body = sent;
            await context.Response.WriteAsync($$$"""{"data":{{{Encoding.UTF8.GetString(written.ToArray())}}}}""", Ct);
        });
    }

    public sealed record Named(string Name);

    public sealed record Where(bool OnLoop);

    public sealed record Asked(bool Before, Where Computed, bool After);

    /// <summary>Cannot be written to its end.</summary>
    public sealed record Broken(int Length)
    {
        public IEnumerable<string> Lines => Enumerable.Range(0, Length / 100).Select(_ => new string('x', 100));

        public string Last => throw new InvalidOperationException("secret");
    }
}
