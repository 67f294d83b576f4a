#:property PublishAot=false
#:property GenerateDocumentationFile=false
#:package Microsoft.Data.Sqlite
// How long the list of accounts takes at size, over HTTP, one request at a time: dotnet run bench/load/directory.cs -- PROGRAM [ACCOUNTS] [REQUESTS] [FOLDER]
// PROGRAM is the published server (artifacts/tandem/tandem). Accounts are written into the file while nobody serves it; the server then makes the index of the
// search by itself, and the time that takes is printed. Ten million accounts need some 4 GB, in a folder below TMPDIR that is removed in the end, or in FOLDER, which stays:
// another run measures the same accounts again, and does not wait for them. REQUESTS 0 only makes them.
using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;
using Microsoft.Data.Sqlite;

const string Email = "bench@example.com", Password = "only-for-the-bench";
var program = args[0];
var accounts = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 1_000_000;
var requests = args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : 300;
var kept = args.Length > 3 ? Directory.CreateDirectory(args[3]).FullName : null;
var folder = kept ?? Directory.CreateTempSubdirectory("tandem-directory-bench-").FullName;
var address = "http://127.0.0.1:18094";
var file = Path.Combine(folder, "tandem.db");
using var http = new HttpClient { BaseAddress = new Uri(address), Timeout = TimeSpan.FromMinutes(5) };
try
{
    // Makes the tables and the administrator.
    using (var first = await StartAsync())
        await StopAsync(first);
    var began = Stopwatch.StartNew();
    if (Count() < accounts)
    {
        Fill();
        Console.WriteLine(Invariant($"{accounts:N0} accounts written in {began.Elapsed.TotalSeconds:F0} s"));
    }

    using var server = await StartAsync();
    try
    {
        await SignInAsync();
        began.Restart();
        while (Waiting() is > 0 and var waiting)
        {
            await Task.Delay(TimeSpan.FromSeconds(2));
            if (began.Elapsed.TotalMinutes > 60)
                throw new InvalidOperationException($"{waiting} accounts wait still to be indexed");
        }

        Console.WriteLine(Invariant($"indexed in {began.Elapsed.TotalSeconds:F0} s; {new FileInfo(file).Length / 1e9:F2} GB"));
        if (requests == 0)
            return;
        var random = new Random(1);
        var total = accounts + 1;
        Console.WriteLine($"| GET /users, {requests} requests | p50 ms | p99 ms | most ms |");
        Console.WriteLine("| --- | --- | --- | --- |");
        await MeasureAsync("first page", () => "limit=10");
        await MeasureAsync("first page, limit 100", () => "limit=100");
        await MeasureAsync("last page by skip", () => $"skip={total - 1 - random.Next(20)}&limit=10");
        await MeasureAsync("any page by skip", () => $"skip={random.Next(total)}&limit=10");
        await MeasureAsync("any page by skip, sort=-id", () => $"skip={random.Next(total)}&limit=10&sort=-id");
        var cursor = await NextAsync("cursor=&limit=10");
        await MeasureAsync("next page by cursor", () => cursor);
        foreach (var sort in new[] { "email", "-email", "created_at", "-created_at" })
            await MeasureAsync($"sort={sort}", () => $"sort={sort}&limit=10");
        var byEmail = await NextAsync("cursor=&limit=10&sort=email");
        await MeasureAsync("next page by cursor, sort=email", () => byEmail);
        await MeasureAsync("last page by skip, sort=-created_at", () => $"skip={total - 5}&limit=10&sort=-created_at");
        await MeasureAsync("middle page by skip, sort=email", () => $"skip={total / 2}&limit=10&sort=email", 20);
        foreach (var filter in new[] { "is_active=false", "is_active=true", "role=administrator", "verified=true", "verified=false&is_active=false", "is_active=false&sort=-created_at", "role=administrator&sort=email" })
            await MeasureAsync(filter, () => $"{filter}&limit=10");
        await MeasureAsync("is_active=false, any page by skip", () => $"is_active=false&skip={random.Next(total / 1000)}&limit=10");
        await MeasureAsync("created in one hour", () => $"created_from={Time(random.Next(accounts / 3600) * 3600)}&created_before={Time((random.Next(accounts / 3600) + 1) * 3600)}&limit=10");
        await MeasureAsync("created in the last thousandth, newest first", () => $"created_from={Time(accounts - accounts / 1000)}&sort=-created_at&limit=10");
        await MeasureAsync("count of all (X-Total-Count), limit 1", () => "limit=1");
        await MeasureAsync("prefix of an e-mail, one account", () => $"q=user{random.Next(accounts):D8}@&match=prefix");
        await MeasureAsync("prefix of an e-mail, a thousand accounts", () => $"q=user{random.Next(accounts / 1000):D5}&match=prefix");
        await MeasureAsync("prefix of a name", () => $"q={Uri.EscapeDataString(Name(random.Next()))}&match=prefix");
        await MeasureAsync("prefix that most have", () => "q=user&match=prefix");
        await MeasureAsync("substring of an e-mail, few accounts", () => $"q={random.Next(accounts):D7}@ex");
        await MeasureAsync("substring of a name", () => $"q={Uri.EscapeDataString(Name(random.Next())[2..])}");
        await MeasureAsync("substring nobody has", () => $"q=xq{random.Next(1000):D3}zz@example");
        await MeasureAsync("substring that all have", () => "q=example");
        await MeasureAsync("substring of two characters", () => $"q={(char)('a' + random.Next(26))}{(char)('a' + random.Next(26))}");
        await MeasureAsync("substring with a filter", () => $"q={random.Next(accounts / 100):D5}&is_active=false");
    }
    finally
    {
        await StopAsync(server);
    }
}
finally
{
    if (kept is null)
        Directory.Delete(folder, recursive: true);
}

static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

static string Time(int seconds) => new DateTime(2020, 1, 1, 0, 0, 0, DateTimeKind.Utc).AddSeconds(seconds).ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);

// As the function of SQL below makes it: syllables, so that names share parts and few are equal.
static string Name(int i)
{
    string[] parts = ["an", "bel", "cor", "dan", "el", "fre", "gus", "har", "is", "jo", "kar", "lin", "mar", "nor", "ol", "pet"];
    var h = (uint)i * 2654435761u;
    return string.Concat(Enumerable.Range(0, 5).Select(n => parts[h >> (4 * n + 8) & 15]));
}

void Fill()
{
    using var connection = new SqliteConnection($"Data Source={file};Pooling=False");
    connection.Open();
    connection.CreateFunction("bench_name", (long i) => Name((int)i), isDeterministic: true);
    using var insert = connection.CreateCommand();
    insert.CommandTimeout = 0;
    // One in a thousand is not active, one in fifty has a confirmed e-mail.
    insert.CommandText = """
        pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -400000;
        with recursive n(i) as (select 1 union all select i + 1 from n where i < $count)
        insert into users_accounts (email, name, password_hash, is_active, created_at, email_verified_at)
        select format('user%08d@example.com', i), bench_name(i), '$argon2id$v=19$m=19456,t=2,p=1$Y9VVrxMF9PRbk8/bDEQVHw$UKmYXrp+C/CV8hcdsh2vkgUKmYXrp+C/CV8hcdsh2vkg', i % 1000 <> 7,
            strftime('%Y-%m-%d %H:%M:%S.000000', 1577836800 + i, 'unixepoch'), case when i % 50 = 3 then '2026-01-01 00:00:00.000000' end from n;
        pragma journal_mode = wal;
        """;
    insert.Parameters.AddWithValue("$count", accounts);
    insert.ExecuteNonQuery();
}

long Count() => Ask("select coalesce(max(id), 0) from users_accounts");

long Waiting() => Ask("select exists (select 1 from users_unread)");

long Ask(string sql)
{
    using var connection = new SqliteConnection($"Data Source={file};Pooling=False;Mode=ReadOnly");
    connection.Open();
    using var command = connection.CreateCommand();
    command.CommandText = sql;
    return (long)command.ExecuteScalar()!;
}

async Task<Process> StartAsync()
{
    var start = new ProcessStartInfo(program, ["--urls", address, "--data", folder, "--Log:Level", "Warning"]);
    start.Environment["TANDEM_ADMIN__EMAIL"] = Email;
    start.Environment["TANDEM_ADMIN__PASSWORD"] = Password;
    var process = Process.Start(start)!;
    for (var i = 0; i < 600; i++)
        try
        {
            if ((await http.GetAsync("/health")).IsSuccessStatusCode)
                return process;
        }
        catch (HttpRequestException)
        {
            await Task.Delay(100);
        }

    process.Kill();
    throw new InvalidOperationException("the server does not come up");
}

static async Task StopAsync(Process process)
{
    using var kill = Process.Start("kill", ["-TERM", process.Id.ToString(CultureInfo.InvariantCulture)]);
    await process.WaitForExitAsync();
}

async Task SignInAsync()
{
    var answer = await http.PostAsync("/token", new FormUrlEncodedContent(new Dictionary<string, string> { ["username"] = Email, ["password"] = Password }));
    answer.EnsureSuccessStatusCode();
    var token = JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("access_token").GetString();
    http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
}

async Task<string> NextAsync(string query)
{
    var answer = await http.GetAsync($"/users?{query}");
    var next = string.Join(", ", answer.Headers.GetValues("Link")).Split(", ").Single(l => l.EndsWith("rel=\"next\"", StringComparison.Ordinal));
    return next.Split('?', '>')[1];
}

async Task MeasureAsync(string name, Func<string> query, int? times = null)
{
    var took = new List<double>();
    for (var i = -10; i < (times ?? requests); i++)
    {
        // An access token lives 15 minutes.
        var url = $"/users?{query()}";
        var began = Stopwatch.GetTimestamp();
        using var answer = await http.GetAsync(url);
        await answer.Content.ReadAsByteArrayAsync();
        var elapsed = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
        if (answer.StatusCode == System.Net.HttpStatusCode.Unauthorized)
        {
            await SignInAsync();
            i--;
            continue;
        }

        if (!answer.IsSuccessStatusCode)
            throw new InvalidOperationException($"{url}: {(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
        if (i >= 0)
            took.Add(elapsed);
    }

    took.Sort();
    Console.WriteLine(Invariant($"| {name} | {took[took.Count / 2]:F1} | {took[Math.Min(took.Count - 1, took.Count * 99 / 100)]:F1} | {took[^1]:F1} |"));
}
