using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Users.Listing;

namespace Tandem.Tests.Users;

/// <summary>The list of accounts: what is found, in which order, how many, and how one page leads to the next.</summary>
public class DirectoryTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static readonly string[] FirstNames = ["Ada", "Zoë", "René", "Łukasz", "Ångström", "Ἀθηνᾶ", "grace", "李雷", "Ann%", "O'Hara \"x\"", "a_b", "Ab"];
    static readonly string[] LastNames = ["Lovelace", "Müller", "Özil", "Hopper", "ada", "Ng", "Škoda", "Ada-Lovelace"];
    static readonly string[] Domains = ["example.com", "beispiel.de", "ada.org"];

    [Fact]
    public async Task Every_list_is_what_the_same_question_to_a_model_gives_whatever_happens_to_the_accounts()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        var random = new Random(20260);
        var model = new Dictionary<long, Row>();
        await LoadAsync(app, model);
        for (var round = 0; round < 6; round++)
        {
            await ChangeAsync(app, random, model, round == 0 ? 2500 : 250);
            // Half of the rounds look while nothing of it is in the index yet, as far as the filler leaves it.
            if (round % 2 == 0)
                await app.Services.GetRequiredService<SearchFiller>().FillAsync(Ct);
            for (var i = 0; i < 60; i++)
                await CompareAsync(admin.Http, random, model);
        }
    }

    [Fact]
    public async Task Who_walks_by_cursor_sees_everybody_once_while_others_come_and_go()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        await InsertAsync(app, 1, 600);
        var before = (await IdsAsync(app)).ToHashSet();
        foreach (var list in new[] { "", "&sort=-id", "&sort=created_at", "&sort=-email", "&q=stays", "&q=example&match=contains&sort=-created_at" })
        {
            using var done = new CancellationTokenSource();
            var writers = Enumerable.Range(0, 4).Select(w => Task.Run(async () =>
            {
                for (var i = 0; !done.IsCancellationRequested; i++)
                {
                    var email = $"comes{w}-{i}-{Guid.NewGuid():n}@example.com";
                    await InsertOneAsync(app, email, "Comes and goes", "2026-01-01 00:00:00");
                    await app.Db.ExecuteAsync($"delete from users_accounts where email = {email}", Ct);
                }
            })).ToList();
            var seen = new List<long>();
            string? next = $"/users?cursor=&limit=23{list}";
            while (next is not null)
            {
                var page = await admin.Http.GetAsync(next, Ct);
                seen.AddRange(Ids(await page.JsonAsync()));
                next = Link(page, "next");
            }

            await done.CancelAsync();
            await Task.WhenAll(writers);
            Assert.Equal(seen.Count, seen.Distinct().Count());
            var mustSee = list.Contains("q=", StringComparison.Ordinal) ? before.Where(id => id != admin.Id || list.Contains("q=example", StringComparison.Ordinal)) : before;
            Assert.Empty(mustSee.Except(seen));
        }

        await ShouldAgreeAsync(app);
    }

    [Fact]
    public async Task A_cursor_leads_through_the_list_and_says_how_many_there_are()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        await InsertAsync(app, 1, 24);

        var first = await admin.Http.GetAsync("/users?cursor=&limit=20", Ct);
        Assert.Equal("25", Total(first));
        Assert.Equal("/users?cursor=&limit=20", Link(first, "first"));
        Assert.Null(Link(first, "prev"));
        Assert.Null(Link(first, "last"));
        var second = await admin.Http.GetAsync(Link(first, "next"), Ct);
        Assert.Equal("25", Total(second));
        Assert.Equal(5, (await second.JsonAsync()).GetArrayLength());
        Assert.Null(Link(second, "next"));
    }

    [Theory]
    [InlineData("zoe", "Zoë")]
    [InlineData("ZOË", "Zoë")]
    [InlineData("łuk", "Łukasz")]
    [InlineData("lukasz", "Łukasz")]
    [InlineData("αθηνα", "Ἀθηνᾶ")]
    [InlineData("雷", "李雷")]
    [InlineData("e\u0301", "René")]
    [InlineData("ann%", "Ann%")]
    [InlineData("a_b", "a_b")]
    [InlineData("\"x\"", "O'Hara \"x\"")]
    public async Task A_name_is_found_whatever_its_case_and_accents(string q, string name)
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        foreach (var (i, one) in FirstNames.Index())
            await InsertOneAsync(app, $"{i}@q.test", one, "2026-01-01 00:00:00");
        foreach (var isFilled in new[] { false, true })
        {
            if (isFilled)
                await app.Services.GetRequiredService<SearchFiller>().FillAsync(Ct);
            var found = await (await admin.Http.GetAsync($"/users?limit=100&q={Uri.EscapeDataString(q)}", Ct)).JsonAsync();
            Assert.Contains(name, found.EnumerateArray().Select(u => u.GetProperty("name").GetString()));
            Assert.True(found.GetArrayLength() < FirstNames.Length, found.ToString());
        }
    }

    [Theory]
    [InlineData("q=", "q", "must have 1 to 100 characters, not only blanks and none of control")]
    [InlineData("q=%20%20", "q", "must have 1 to 100 characters, not only blanks and none of control")]
    [InlineData("q=a%00b", "q", "must have 1 to 100 characters, not only blanks and none of control")]
    [InlineData("q=%CC%81", "q", "must be more than accents")]
    [InlineData("match=prefix", "match", "says how q is compared, and there is no q")]
    [InlineData("q=a&match=exact", "match", "must be one of contains, prefix")]
    [InlineData("sort=name", "sort", "must be one of id, email, created_at, -id, -email, -created_at")]
    [InlineData("sort=", "sort", "must be one of id, email, created_at, -id, -email, -created_at")]
    [InlineData("is_active=yes", "is_active", "must be one of true, false")]
    [InlineData("role=root", "role", "must be one of administrator, person")]
    [InlineData("verified=1", "verified", "must be one of true, false")]
    [InlineData("created_from=yesterday", "created_from", "must be a day or a time, like 2026-01-31 or 2026-01-31T12:00:00Z")]
    [InlineData("created_before=2026-13-01", "created_before", "must be a day or a time, like 2026-01-31 or 2026-01-31T12:00:00Z")]
    [InlineData("cursor=x", "cursor", "is none that a Link of this list has; begin again with an empty one")]
    [InlineData("cursor=%00%FF", "cursor", "is none that a Link of this list has; begin again with an empty one")]
    [InlineData("cursor=AAAAAAAAAAAAAAAA", "cursor", "belongs to a list with another q, match, sort or filter; begin again with an empty one")]
    [InlineData("cursor=&skip=1", "skip", "does not go together with cursor: the cursor says where the page begins")]
    public async Task A_bad_parameter_is_400_and_says_what_is_allowed(string query, string parameter, string message)
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();

        var problem = await (await admin.Http.GetAsync($"/users?{query}", Ct)).ShouldBeProblemAsync(400, "users/list-parameter");

        var error = Assert.Single(problem.GetProperty("errors").EnumerateObject());
        Assert.Equal((parameter, message), (error.Name, error.Value[0].GetString()));
    }

    [Fact]
    public async Task A_cursor_that_was_tampered_with_is_refused_or_leads_elsewhere_in_the_same_list()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        await InsertAsync(app, 1, 60);
        var random = new Random(1);
        foreach (var sort in new[] { "id", "-email", "created_at" })
        {
            var next = Link(await admin.Http.GetAsync($"/users?cursor=&limit=20&sort={sort}", Ct), "next")!;
            var start = next.IndexOf("cursor=", StringComparison.Ordinal) + 7;
            var end = next.IndexOf('&', start);
            for (var i = 0; i < 150; i++)
            {
                var cursor = next[start..end].ToCharArray();
                cursor[random.Next(cursor.Length)] = "ABCxyz019-_"[random.Next(11)];
                var answer = await admin.Http.GetAsync(string.Concat(next.AsSpan(0, start), cursor, next.AsSpan(end)), Ct);
                if ((int)answer.StatusCode != 200)
                    Assert.True((await answer.ShouldBeProblemAsync(400, "users/list-parameter")).GetProperty("errors").TryGetProperty("cursor", out _));
            }
        }
    }

    [Fact]
    public async Task Only_who_may_list_may_search()
    {
        await using var app = await TestApp.StartAsync();
        using var person = await app.PersonAsync();

        await (await app.Http.GetAsync("/users?q=a", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
        await (await person.Http.GetAsync("/users?q=a", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
        // Whatever is wrong with the question: who may not ask is told that first.
        await (await person.Http.GetAsync("/users?sort=nothing", Ct)).ShouldBeProblemAsync(403, "http/forbidden");
    }

    [Fact]
    public async Task A_search_that_finds_more_than_are_counted_goes_on_by_cursor_and_misses_nobody()
    {
        await using var app = await TestApp.StartAsync();
        using var admin = await app.AdministratorAsync();
        await InsertAsync(app, 1, 70_000);
        await (await admin.Http.GetAsync("/users?q=stays", Ct)).ShouldBeProblemAsync(503, "users/search-not-ready");
        await app.Services.GetRequiredService<SearchFiller>().FillAsync(Ct);
        await ShouldAgreeAsync(app);
        // A deep skip, a rare kind and a time: counted all the same.
        Assert.Equal("70001", Total(await admin.Http.GetAsync("/users?skip=69990", Ct)));
        foreach (var (list, expected) in new[] { ("q=stays", 70_000), ("q=stays&sort=-id", 70_000), ("q=stays&match=prefix", 70_000), ("q=s7", 1_112), ("q=stays69999", 1), ("q=st&is_active=false", 0) })
        {
            var seen = new List<long>();
            var pages = 0;
            var first = await admin.Http.GetAsync($"/users?limit=100&{list}", Ct);
            Assert.Equal(expected is 1 or 0 && !list.Contains("q=st&", StringComparison.Ordinal), first.Headers.Contains("X-Total-Count"));
            for (var page = first; page is not null; pages++)
            {
                seen.AddRange(Ids(await page.JsonAsync()));
                // To the end of a long one only where it is short of pages.
                page = Link(page, "next") is { } next && (pages < 30 || expected < 5_000) ? await admin.Http.GetAsync(next, Ct) : null;
            }

            Assert.Equal(seen.Count, seen.Distinct().Count());
            Assert.Equal(Math.Min(expected, 31 * 100), seen.Count);
            Assert.Equal(list.Contains('-', StringComparison.Ordinal) ? seen.OrderDescending() : seen.Order(), seen);
        }

        var sorted = await (await admin.Http.GetAsync("/users?q=stays&sort=email", Ct)).ShouldBeProblemAsync(400, "users/list-parameter");
        Assert.True(sorted.GetProperty("errors").TryGetProperty("sort", out _));
        var deep = await (await admin.Http.GetAsync("/users?q=stays&skip=20000", Ct)).ShouldBeProblemAsync(400, "users/list-parameter");
        Assert.True(deep.GetProperty("errors").TryGetProperty("skip", out _));
        Assert.Equal(10, (await (await admin.Http.GetAsync("/users?q=stays&skip=9000", Ct)).JsonAsync()).GetArrayLength());
    }

    static async Task CompareAsync(HttpClient http, Random random, Dictionary<long, Row> model)
    {
        var parameters = new Dictionary<string, string>();
        IEnumerable<Row> rows = model.Values;
        if (random.Next(2) == 0)
        {
            var isPrefix = random.Next(2) == 0;
            var some = model.Values.ElementAt(random.Next(model.Count));
            var text = random.Next(2) == 0 ? some.Email : some.Name;
            var from = isPrefix ? 0 : random.Next(text.Length);
            var q = text.Substring(from, 1 + random.Next(Math.Min(8, text.Length - from)));
            q = random.Next(3) switch { 0 => q.ToUpperInvariant(), 1 => SearchText.Fold(q), _ => q };
            if (string.IsNullOrWhiteSpace(q))
                return;
            parameters["q"] = q;
            parameters["match"] = isPrefix ? "prefix" : "contains";
            var (email, name) = (q.ToLowerInvariant(), SearchText.Fold(q));
            rows = rows.Where(r => isPrefix
                ? r.Email.StartsWith(email, StringComparison.Ordinal) || SearchText.Fold(r.Name).StartsWith(name, StringComparison.Ordinal)
                : r.Email.Contains(email, StringComparison.Ordinal) || SearchText.Fold(r.Name).Contains(name, StringComparison.Ordinal));
        }

        if (random.Next(3) == 0)
        {
            var active = random.Next(2) == 0;
            parameters["is_active"] = active ? "true" : "false";
            rows = rows.Where(r => r.IsActive == active);
        }

        if (random.Next(4) == 0)
        {
            var administrator = random.Next(2) == 0;
            parameters["role"] = administrator ? "administrator" : "person";
            rows = rows.Where(r => r.IsAdministrator == administrator);
        }

        if (random.Next(4) == 0)
        {
            var verified = random.Next(2) == 0;
            parameters["verified"] = verified ? "true" : "false";
            rows = rows.Where(r => r.IsVerified == verified);
        }

        if (random.Next(4) == 0)
        {
            var time = new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc).AddHours(random.Next(200));
            parameters["created_from"] = time.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
            rows = rows.Where(r => r.CreatedAt >= time);
        }

        if (random.Next(4) == 0)
        {
            var time = new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc).AddHours(random.Next(200));
            parameters["created_before"] = time.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
            rows = rows.Where(r => r.CreatedAt < time);
        }

        var sort = random.Next(7) switch { 0 => "email", 1 => "-email", 2 => "created_at", 3 => "-created_at", 4 => "-id", 5 => "id", _ => "" };
        if (sort.Length > 0)
            parameters["sort"] = sort;
        else if (!parameters.ContainsKey("q") && parameters.Keys.Any(k => k.StartsWith("created", StringComparison.Ordinal)))
            sort = "created_at";
        var sorted = rows.OrderBy(r => r, Comparer<Row>.Create((a, b) => sort.TrimStart('-') switch
        {
            "email" => string.CompareOrdinal(a.Email, b.Email),
            "created_at" => (a.CreatedAt, a.Id).CompareTo((b.CreatedAt, b.Id)),
            _ => a.Id.CompareTo(b.Id),
        })).ToList();
        if (sort.StartsWith('-'))
            sorted.Reverse();

        var limit = 1 + random.Next(100);
        var skip = random.Next(4) switch { 0 => 0, 1 => Math.Max(0, sorted.Count - limit), 2 => random.Next(sorted.Count + 20), _ => random.Next(50) };
        var list = string.Join('&', parameters.Select(p => $"{p.Key}={Uri.EscapeDataString(p.Value)}"));
        var page = await http.GetAsync($"/users?{list}&skip={skip}&limit={limit}", Ct);
        Assert.True(sorted.Skip(skip).Take(limit).Select(r => r.Id).SequenceEqual(Ids(await page.JsonAsync())), $"{list}&skip={skip}&limit={limit}");
        Assert.True(sorted.Count.ToString(CultureInfo.InvariantCulture) == Total(page), $"{list}: {sorted.Count}, not {Total(page)}");

        var walked = new List<long>();
        string? next = $"/users?{list}&cursor=&limit={limit}";
        for (var pages = 0; next is not null && pages < 4; pages++)
        {
            var answer = await http.GetAsync(next, Ct);
            walked.AddRange(Ids(await answer.JsonAsync()));
            next = Link(answer, "next");
        }

        Assert.True(sorted.Take(4 * limit).Select(r => r.Id).SequenceEqual(walked), $"{list}&cursor=&limit={limit}");
        Assert.Equal(sorted.Count <= 4 * limit, next is null);
    }

    static async Task ChangeAsync(TestApp app, Random random, Dictionary<long, Row> model, int changes)
    {
        await app.Db.InTransactionAsync(async tx =>
        {
            for (var i = 0; i < changes; i++)
            {
                var id = model.Keys.ElementAt(random.Next(model.Count));
                switch (model.Count < 40 ? 0 : random.Next(10))
                {
                    case <= 4:
                        var name = $"{FirstNames[random.Next(FirstNames.Length)]} {LastNames[random.Next(LastNames.Length)]}";
                        var email = $"{SearchText.Fold(name).Where(char.IsAsciiLetter).Take(5).Aggregate("", (s, c) => s + c)}{random.Next(1_000_000)}@{Domains[random.Next(3)]}";
                        var created = new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc).AddHours(random.Next(200));
                        await tx.ExecuteAsync($"""
                            insert into users_accounts (email, name, password_hash, is_administrator, created_at) values ({email}, {name}, {""}, {random.Next(30) == 0}, {created}) on conflict do nothing
                            """, Ct);
                        break;
                    case 5:
                        await tx.ExecuteAsync($"update users_accounts set name = {LastNames[random.Next(LastNames.Length)]} where id = {id}", Ct);
                        break;
                    case 6:
                        await tx.ExecuteAsync($"update users_accounts set is_active = not is_active where id = {id} and not is_administrator", Ct);
                        break;
                    case 7:
                        await tx.ExecuteAsync($"update users_accounts set email_verified_at = case when email_verified_at is null then created_at else null end where id = {id}", Ct);
                        break;
                    case 8:
                        await tx.ExecuteAsync($"update users_accounts set email = {$"new{random.Next(1_000_000)}@{Domains[random.Next(3)]}"}, last_sign_in_at = created_at where id = {id} and not is_administrator", Ct);
                        break;
                    default:
                        await tx.ExecuteAsync($"delete from users_accounts where id = {id} and not is_administrator", Ct);
                        break;
                }
            }

            return true;
        }, Ct);
        await LoadAsync(app, model);
        await ShouldAgreeAsync(app);
    }

    static async Task LoadAsync(TestApp app, Dictionary<long, Row> model)
    {
        model.Clear();
        foreach (var row in await app.Db.ListAsync<Row>($"select id, email, name, created_at, is_active, is_administrator, email_verified_at is not null as is_verified from users_accounts", Ct))
            model.Add(row.Id, row);
    }

    /// <summary>What triggers keep is what counting gives.</summary>
    static async Task ShouldAgreeAsync(TestApp app)
    {
        var kept = await app.Db.ListAsync<(long, long, long, long)>($"select level, block, kind, cast(sum(accounts) as bigint) from users_blocks group by 1, 2, 3 having sum(accounts) <> 0 order by 1, 2, 3", Ct);
        var counted = await app.Db.ListAsync<(long, long, long, long)>($"""
            select level, id >> shift, case when is_active then 1 else 0 end + case when is_administrator then 2 else 0 end + case when email_verified_at is not null then 4 else 0 end, count(*)
            from (select 0 as level, 10 as shift union all select 1, 16 union all select 2, 22) as sizes cross join users_accounts group by 1, 2, 3 order by 1, 2, 3
            """, Ct);
        Assert.Equal(counted, kept);
    }

    static async Task InsertAsync(TestApp app, int from, int count) => await app.Db.ExecuteAsync($"""
        with recursive n(i) as (select {from} union all select i + 1 from n where i < {from + count - 1})
        insert into users_accounts (email, name, password_hash, created_at) select 'stays' || i || '@example.com', 'Somebody', '', '2026-01-01 00:00:00.000000' from n
        """, Ct);

    static Task InsertOneAsync(TestApp app, string email, string name, string created) => app.Db.ExecuteAsync($"""
        insert into users_accounts (email, name, password_hash, created_at) values ({email}, {name}, '', {DateTime.Parse(created, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal)})
        """, Ct);

    static Task<List<long>> IdsAsync(TestApp app) => app.Db.ListAsync<long>($"select id from users_accounts order by id", Ct);

    static IEnumerable<long> Ids(JsonElement page) => page.EnumerateArray().Select(u => u.GetProperty("id").GetInt64());

    static string? Total(HttpResponseMessage page) => page.Headers.TryGetValues("X-Total-Count", out var values) ? values.Single() : null;

    static string? Link(HttpResponseMessage page, string rel) => string.Join(", ", page.Headers.GetValues("Link")).Split(", ")
        .SingleOrDefault(l => l.EndsWith($"rel=\"{rel}\"", StringComparison.Ordinal))?.Split('>')[0][1..];

    sealed record Row(long Id, string Email, string Name, DateTime CreatedAt, bool IsActive, bool IsAdministrator, bool IsVerified);
}
