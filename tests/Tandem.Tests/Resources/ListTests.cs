using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Tandem.Core.Http;

namespace Tandem.Tests.Resources;

public sealed class ListTests
{
    public enum Colour { Red, Green, Blue }
    public sealed record Thing(string Name, int Size, decimal Price, DateTime At, bool Flag, Colour Colour, string? Note = null, double? Weight = null, List<int>? Parts = null);

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static Task<TestApp> StartAsync() => TestApp.StartAsync(app => app.Resource<Thing>("/things").AllowAnonymous());

    [Fact]
    public async Task Filters_and_orders_agree_with_the_same_done_in_memory()
    {
        await using var app = await StartAsync();
        var random = new Random(11);
        var all = new List<(long Id, Thing Thing)>();
        for (var i = 0; i < 60; i++)
        {
            var thing = new Thing(Word(random), random.Next(-3, 4), random.Next(0, 8) / 4m, new DateTime(2026, 1, 1 + random.Next(5), 0, 0, 0, DateTimeKind.Utc), random.Next(2) == 0,
                (Colour)random.Next(3), random.Next(3) == 0 ? null : Word(random), random.Next(3) == 0 ? null : random.Next(5) * 0.5);
            var created = await (await app.Http.PostAsJsonAsync("/things", thing, Json.Options, Ct)).JsonAsync(201);
            all.Add((created.GetProperty("id").GetInt64(), thing));
        }

        for (var round = 0; round < 150; round++)
        {
            var conditions = Enumerable.Range(0, random.Next(0, 4)).Select(_ => Condition(random)).DistinctBy(c => c.Query.Split('=')[0]).ToList();
            var (sort, order) = Order(random);
            var (skip, limit) = (random.Next(0, 10), random.Next(1, 70));
            var expected = order(all.Where(t => conditions.All(c => c.Holds(t.Thing)))).Select(t => t.Id).ToList();

            var query = string.Join("&", conditions.Select(c => c.Query).Append(sort).Append($"skip={skip}&limit={limit}"));
            var response = await app.Http.GetAsync("/things?" + query, Ct);
            var ids = (await response.JsonAsync()).EnumerateArray().Select(t => t.GetProperty("id").GetInt64());
            Assert.True(expected.Skip(skip).Take(limit).SequenceEqual(ids), query);
            Assert.Equal(expected.Count.ToString(CultureInfo.InvariantCulture), response.Headers.GetValues("X-Total-Count").Single());
        }
    }

    static string Word(Random random) => string.Concat(Enumerable.Range(0, random.Next(1, 4)).Select(_ => "abAé,"[random.Next(5)]));

    static (string Query, Func<Thing, bool> Holds) Condition(Random random)
    {
        var word = Word(random).Replace(",", "");
        var (size, other, price) = (random.Next(-3, 4), random.Next(-3, 4), random.Next(0, 8) / 4m);
        var day = new DateTime(2026, 1, 1 + random.Next(5), 0, 0, 0, DateTimeKind.Utc);
        var colour = (Colour)random.Next(3);
        var text = Uri.EscapeDataString(word);
        var number = price.ToString(CultureInfo.InvariantCulture);
        return random.Next(16) switch
        {
            0 => ($"name={text}", t => t.Name == word),
            1 => ($"name_ne={text}", t => t.Name != word),
            2 => ($"name_contains={text}", t => t.Name.Contains(word, StringComparison.Ordinal)),
            3 => ($"name_lt={text}", t => string.CompareOrdinal(t.Name, word) < 0),
            4 => ($"size={size}", t => t.Size == size),
            5 => ($"size_in={size},{other}", t => t.Size == size || t.Size == other),
            6 => ($"price_gte={number}", t => t.Price >= price),
            7 => ($"price_lt={number}", t => t.Price < price),
            8 => ($"at_lte={day:yyyy-MM-ddTHH:mm:ssZ}", t => t.At <= day),
            9 => ($"at_gt={day:yyyy-MM-dd}", t => t.At > day),
            10 => ("flag=true", t => t.Flag),
            11 => ($"colour_ne={colour.ToString().ToLowerInvariant()}", t => t.Colour != colour),
            12 => ("note_null=true", t => t.Note is null),
            13 => ($"note_ne={text}", t => t.Note != word),
            14 => ($"weight_gt={number}", t => t.Weight > (double)price),
            _ => ("weight_null=false", t => t.Weight is not null),
        };
    }

    static (string Query, Func<IEnumerable<(long Id, Thing Thing)>, IEnumerable<(long Id, Thing Thing)>> Order) Order(Random random) => random.Next(6) switch
    {
        0 => ("sort=name", all => all.OrderBy(t => t.Thing.Name, StringComparer.Ordinal).ThenBy(t => t.Id)),
        1 => ("sort=-price,size", all => all.OrderByDescending(t => t.Thing.Price).ThenBy(t => t.Thing.Size).ThenBy(t => t.Id)),
        2 => ("sort=note", all => all.OrderBy(t => t.Thing.Note is null).ThenBy(t => t.Thing.Note, StringComparer.Ordinal).ThenBy(t => t.Id)),
        3 => ("sort=-weight", all => all.OrderBy(t => t.Thing.Weight is null).ThenByDescending(t => t.Thing.Weight).ThenBy(t => t.Id)),
        4 => ("sort=-id", all => all.OrderByDescending(t => t.Id)),
        _ => ("sort=flag,-at,-id", all => all.OrderBy(t => t.Thing.Flag).ThenByDescending(t => t.Thing.At).ThenByDescending(t => t.Id)),
    };

    [Theory]
    [InlineData("colr=red", "colr")]
    [InlineData("colour=mauve", "colour")]
    [InlineData("size=1.5", "size")]
    [InlineData("size_in=1,x", "size_in")]
    [InlineData("price_gte=1234567890.1234567", "price_gte")]
    [InlineData("at=yesterday", "at")]
    [InlineData("flag=1", "flag")]
    [InlineData("flag_gt=true", "flag_gt")]
    [InlineData("name=%00", "name")]
    [InlineData("parts=1", "parts")]
    [InlineData("name_null=true", "name_null")]
    [InlineData("note_null=yes", "note_null")]
    [InlineData("sort=colr", "sort")]
    [InlineData("sort=parts", "sort")]
    [InlineData("sort=name,-name", "sort")]
    [InlineData("sort=", "sort")]
    [InlineData("skip=-1", "skip")]
    [InlineData("skip=99999999999", "skip")]
    [InlineData("limit=0", "limit")]
    [InlineData("limit=101", "limit")]
    [InlineData("limit=5&limit=6", "limit")]
    [InlineData("limit=x&colr=1&size=a", "limit", "colr", "size")]
    public async Task What_a_list_does_not_understand_it_names(string query, params string[] fields)
    {
        await using var app = await StartAsync();
        var problem = await (await app.Http.GetAsync("/things?" + query, Ct)).ShouldBeProblemAsync(422, "http/invalid");
        Assert.Equal(fields.Order(), problem.GetProperty("errors").EnumerateObject().Select(e => e.Name).Order());
    }

    [Fact]
    public async Task A_page_says_where_the_pages_around_it_are()
    {
        await using var app = await TestApp.StartAsync(app => app.Resource<ItemTests.Item>("/items").AllowAnonymous());
        for (var i = 0; i < 25; i++)
            await app.Http.PostAsJsonAsync("/items", new { name = "Pen & ink", price = i }, Ct);

        Assert.Equal(10, (await (await app.Http.GetAsync("/items", Ct)).JsonAsync()).GetArrayLength());
        var page = await app.Http.GetAsync("/items?name=Pen+%26+ink&skip=10&limit=10", Ct);
        Assert.Equal("25", page.Headers.GetValues("X-Total-Count").Single());
        Assert.Equal("""
            </items?name=Pen%20%26%20ink&skip=0&limit=10>; rel="first", </items?name=Pen%20%26%20ink&skip=0&limit=10>; rel="prev", </items?name=Pen%20%26%20ink&skip=20&limit=10>; rel="next", </items?name=Pen%20%26%20ink&skip=20&limit=10>; rel="last"
            """, page.Headers.GetValues("Link").Single());

        // The links lead through all of it.
        var (next, seen) = ("/items?limit=7", new List<int>());
        while (next is not null)
        {
            var response = await app.Http.GetAsync(next, Ct);
            seen.AddRange((await response.JsonAsync()).EnumerateArray().Select(i => i.GetProperty("price").GetInt32()));
            next = response.Headers.GetValues("Link").Single().Split(", ").FirstOrDefault(l => l.EndsWith("rel=\"next\"", StringComparison.Ordinal))?.Split('>')[0][1..];
        }

        Assert.Equal(Enumerable.Range(0, 25), seen);
        var behind = await app.Http.GetAsync("/items?skip=1000&limit=10", Ct);
        Assert.Equal(0, (await behind.JsonAsync()).GetArrayLength());
        Assert.Contains("</items?skip=15&limit=10>; rel=\"prev\"", behind.Headers.GetValues("Link").Single());
    }

    [Fact]
    public async Task A_field_that_is_called_like_a_page_parameter_is_filtered_by_its_long_name()
    {
        await using var app = await TestApp.StartAsync(app => app.Resource<Account>("/accounts").AllowAnonymous());
        await app.Http.PostAsJsonAsync("/accounts", new { limit = 500, price = 1, price_lt = 9 }, Ct);
        Assert.Equal(1, (await (await app.Http.GetAsync("/accounts?limit_eq=500&limit_gt=400&limit=1", Ct)).JsonAsync()).GetArrayLength());
        // A property that is really called price_lt goes before the comparison of price.
        Assert.Equal(1, (await (await app.Http.GetAsync("/accounts?price_lt=9", Ct)).JsonAsync()).GetArrayLength());
        Assert.Equal(0, (await (await app.Http.GetAsync("/accounts?price_lt=8", Ct)).JsonAsync()).GetArrayLength());
    }

    public sealed record Account(int Limit, int Price, int PriceLt);
}
