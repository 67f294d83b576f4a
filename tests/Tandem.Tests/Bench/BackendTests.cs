using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.RegularExpressions;
using Tandem.Bench.Backend;
using Tandem.Bench.Reports;
using Tandem.Bench.Results;

namespace Tandem.Tests.Bench;

[Storeless("The one program that it starts is on embedded stores.")]
public sealed partial class BackendTests : IDisposable
{
    readonly string _data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        if (Directory.Exists(_data))
            Directory.Delete(_data, recursive: true);
    }

    [Fact]
    public void An_answer_may_be_written_in_any_order_and_number_form()
    {
        var check = new Check("POST", "/items", "{}", 201, """{"id":"*","name":"Tea","price":12.5,"tags":[1,{"a":null}]}""");
        Assert.Null(check.Difference(201, """{"price":1.250e1, "tags":[1.0,{"a":null}], "name":"Tea", "id":77}"""));
    }

    [Theory]
    [InlineData(200, """{"id":1,"name":"Tea"}""")]
    [InlineData(201, """{"id":1,"name":"tea"}""")]
    [InlineData(201, """{"id":1,"name":"Tea","more":true}""")]
    [InlineData(201, """{"id":1}""")]
    [InlineData(201, """{"id":1,"name":null}""")]
    [InlineData(201, "")]
    [InlineData(201, "<html>")]
    public void Another_answer_is_told_with_what_was_expected(int status, string answer)
    {
        var check = new Check("POST", "/items", """{"name":"Tea"}""", 201, """{"id":"*","name":"Tea"}""");
        var difference = check.Difference(status, answer);
        Assert.NotNull(difference);
        Assert.StartsWith($$"""POST /items {"name":"Tea"} is answered with {{(status == 201 ? "" : $"{status} ")}}""", difference);
    }

    [Theory]
    [InlineData(400, true)]
    [InlineData(422, true)]
    [InlineData(201, false)]
    [InlineData(500, false)]
    public void Bad_input_has_to_be_refused_and_by_whom_it_is_sent(int status, bool isRight) =>
        Assert.Equal(isRight, new Check("POST", "/items", "[]", Check.Refused).Difference(status, "") is null);

    [Fact]
    public void A_request_says_its_length_before_its_numbers_are_drawn()
    {
        var lua = new LoadRequest("PATCH", "/users/%d", """{"name":"Größe %d"}""", (2, 1001), (10, 99)).Lua("127.0.0.1:80", "a.b-c_d", 7);
        var form = Form().Match(lua).Groups[1].Value.Replace("\\r\\n", "\r\n", StringComparison.Ordinal).Replace("\\\"", "\"", StringComparison.Ordinal);
        Assert.Equal("PATCH /users/%d HTTP/1.1\r\nHost: 127.0.0.1:80\r\nAuthorization: Bearer a.b-c_d\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{\"name\":\"Größe %d\"}", form);
        Assert.Contains("string.format(form, math.random(2, 1001), math.random(10, 99))", lua);
    }

    [Fact]
    public void Numbers_that_change_the_length_of_a_body_are_refused()
    {
        Assert.Throws<ArgumentException>(() => new LoadRequest("POST", "/items", """{"price":%d}""", (5, 10)).Lua("h", "t", 7));
        Assert.Throws<ArgumentException>(() => new LoadRequest("GET", "/users/%d", null).Lua("h", "t", 7));
    }

    [Fact]
    public async Task Tandem_answers_every_check_as_the_peers_have_to()
    {
        TestStores.OnlyEmbedded();
        await using (var first = TestApp.KeepData(await StartAsync(_data)))
            Assert.Equal(HttpStatusCode.OK, (await first.Http.GetAsync("/health", Ct)).StatusCode);
        await Seed.TandemAsync(Path.Combine(_data, "tandem.db"), Ct);
        var csv = Path.Combine(_data, "iris.csv");
        await using (var source = typeof(Seed).Assembly.GetManifestResourceStream("iris.csv")!)
        await using (var target = File.Create(csv))
            await source.CopyToAsync(target, Ct);
        Assert.Equal(0, (await Programs.RunAsync("model", "train", csv, "--target", "species", "--trees", "100", "--data", _data)).Code);
        await using var app = await StartAsync(_data);
        using var form = new FormUrlEncodedContent(new Dictionary<string, string> { ["username"] = Seed.Administrator, ["password"] = Seed.Password });
        using var answer = await app.Http.PostAsync("/token", form, Ct);
        var token = (await answer.Content.ReadFromJsonAsync<JsonElement>(Ct)).GetProperty("access_token").GetString()!;

        foreach (var check in BackendWork.All.Append(BackendWork.Predict).SelectMany(w => w.Checks))
            Assert.Null(await check.DifferenceAsync(app.Http, token, Ct));
        // Those of the checks that were good.
        Assert.Equal(2, await Seed.ItemsAsync(Path.Combine(_data, "tandem.db"), isTandem: true, Ct));
    }

    [Fact]
    public void A_report_has_both_ratios_and_the_database_apart()
    {
        var directory = new RunDirectory(_data);
        directory.Write(new Run { Began = DateTimeOffset.UnixEpoch, Command = "tandem bench run backend", Machine = new Machine("Test CPU", 2, "6.1", "Debian", 8_000_000_000, ".NET 10"), Settings = [] });
        foreach (var (peer, cpu, requests) in (ReadOnlySpan<(string, double, long)>)[("tandem-postgres", 50, 8_000), ("gin-pgx", 100, 4_000)])
            foreach (var round in (ReadOnlySpan<int>)[1, 2])
                directory.Add(Cell(peer, round) with { Requests = requests, Seconds = 1, CpuSeconds = cpu * requests / 1e6, Figures = new() { ["database_cpu_seconds"] = 25 * requests / 1e6 } });
        directory.Add(Cell("fastapi-asyncpg", 0) with { Failed = "It does not do the same work: GET /users/2 is answered with 500" });

        var tables = File.ReadAllText(ReportFiles.Write(directory).Markdown);

        Assert.Contains("## backend: 64 connections, on PostgreSQL, GET /users/{id}", tables);
        Assert.Contains("Tandem remembers the token that it has checked", tables);
        Assert.Contains("| PostgreSQL CPU µs/req |", tables);
        Assert.Contains("| Go Gin + pgx | 100.0 | 25.0 | 4,000 |", tables);
        Assert.Contains("| 0.50 (0.50–0.50) | 2.00 (2.00–2.00) |", tables);
        Assert.Contains("| FastAPI + asyncpg | no result: It does not do the same work", tables);
    }

    static Cell Cell(string peer, int round) => new("backend", peer, new() { ["connections"] = "64", ["database"] = "postgres", ["work"] = "get-user" }, round);

    static Task<TestApp> StartAsync(string data) =>
        TestApp.StartAsync(a => a.Resource<Item>("/items"), data, "--Admin:Email", Seed.Administrator, "--Admin:Password", Seed.Password, "--Users:AccessTokenLifetime", "1.00:00:00");

    record Item(string Name, decimal Price);

    [GeneratedRegex("form = \"(.*)\"\n")]
    private static partial Regex Form();
}
