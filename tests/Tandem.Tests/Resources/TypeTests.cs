using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Tandem.Core.Http;

namespace Tandem.Tests.Resources;

public sealed class TypeTests
{
    public enum Colour { DeepBlue, Red, Green }

    public sealed record Everything(string Text, bool Flag, int Small, long Large, double Real, decimal Amount, DateTime At, DateTimeOffset Since, DateOnly Day, Guid Code,
        Colour Colour, Inner Nested, List<string> Tags,
        string? MaybeText = null, bool? MaybeFlag = null, int? MaybeSmall = null, double? MaybeReal = null, decimal? MaybeAmount = null, DateTime? MaybeAt = null,
        DateOnly? MaybeDay = null, Guid? MaybeCode = null, Colour? MaybeColour = null, Inner? MaybeNested = null, float Order = 1.5f);

    public sealed record Inner(string Street, int? Number = null, List<Inner>? More = null);

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static StringContent Body(string json) => new(json, Encoding.UTF8, "application/json");

    [Fact]
    public async Task Random_items_come_back_exactly_as_they_were_sent()
    {
        await using var app = await TestApp.StartAsync(app => app.Resource<Everything>("/things").AllowAnonymous());
        var random = new Random(20261);
        for (var i = 1; i <= 200; i++)
        {
            var sent = RandomItem(random);
            var json = JsonSerializer.Serialize(sent, Json.Options);
            var created = await app.Http.PostAsync("/things", Body(json), Ct);
            var answer = await created.Content.ReadAsStringAsync(Ct);
            Assert.True(created.IsSuccessStatusCode, $"{json} {answer}");
            // The answer to POST and a later GET say the same, to the byte.
            Assert.Equal(answer, await app.Http.GetStringAsync($"/things/{i}", Ct));
            var back = JsonSerializer.Deserialize<Everything>(answer, Json.Options);
            Assert.Equal(json, JsonSerializer.Serialize(back, Json.Options));
            // And what was answered can be put back unchanged.
            Assert.Equal(answer, await (await app.Http.PutAsync($"/things/{i}", Body(answer), Ct)).Content.ReadAsStringAsync(Ct));
        }
    }

    static Everything RandomItem(Random random) => new(Text(random), random.Next(2) == 0, random.Next(int.MinValue, int.MaxValue), random.NextInt64(long.MinValue, long.MaxValue),
        Real(random), Amount(random), Time(random), new DateTimeOffset(Time(random)), DateOnly.FromDayNumber(random.Next(DateOnly.MaxValue.DayNumber)), Guid.NewGuid(),
        (Colour)random.Next(3), new Inner(Text(random), 3, [new Inner(Text(random))]), [Text(random), Text(random)],
        Maybe(random, () => Text(random)), MaybeValue(random, () => true), MaybeValue(random, () => random.Next()), MaybeValue(random, () => Real(random)), MaybeValue(random, () => Amount(random)),
        MaybeValue(random, () => Time(random)), MaybeValue(random, () => DateOnly.MinValue), MaybeValue(random, Guid.NewGuid), MaybeValue(random, () => Colour.Green),
        Maybe(random, () => new Inner(Text(random))), random.NextSingle());

    static T? Maybe<T>(Random random, Func<T> make) where T : class => random.Next(3) == 0 ? null : make();

    static T? MaybeValue<T>(Random random, Func<T> make) where T : struct => random.Next(3) == 0 ? null : make();

    static string Text(Random random) => string.Concat(Enumerable.Range(0, random.Next(12)).Select(_ => random.Next(5) switch
    {
        0 => "😀",
        1 => char.ConvertFromUtf32(random.Next(1, 0xD800)),
        2 => "'\"\\%_",
        _ => ((char)random.Next(32, 127)).ToString(),
    }));

    static double Real(Random random) => random.Next(4) switch
    {
        0 => random.Next(-1000, 1000),
        1 => BitConverter.Int64BitsToDouble(random.NextInt64()) is var any && double.IsFinite(any) ? any : 0.1,
        2 => double.MaxValue,
        _ => random.NextDouble() * 1e6,
    };

    // At most 15 significant digits anywhere in the range of a decimal.
    static decimal Amount(Random random)
    {
        decimal digits = random.NextInt64(-999_999_999_999_999, 1_000_000_000_000_000);
        var scale = random.Next(0, 28);
        return scale < 14 ? digits * (decimal)Math.Pow(10, scale) : decimal.Parse($"{digits}e-{scale - 14}", NumberStyles.Float, CultureInfo.InvariantCulture) / 1.0000000000000000000000000000m;
    }

    static DateTime Time(Random random) => new(random.NextInt64(DateTime.MinValue.Ticks, DateTime.MaxValue.Ticks) / 10 * 10, DateTimeKind.Utc);

    [Fact]
    public async Task Every_decimal_of_fifteen_digits_is_exact_and_found_by_its_value()
    {
        await using var app = await TestApp.StartAsync(app => app.Resource<ItemTests.Item>("/items").AllowAnonymous());
        string[] prices =
        [
            "0", "-0", "0.1", "0.3", "1.10", "2.675", "100", "999999999999999", "-999999999999999", "1e15", "1e20", "7e28", "1e-28", "0.000000000000001", "9.99999999999999", "1.50000000000000000000000",
            "123456789012345000000000000", "0.0000000000000123456789012345",
        ];
        foreach (var (i, price) in prices.Index())
        {
            var value = decimal.Parse(price, NumberStyles.Float, CultureInfo.InvariantCulture);
            var created = await (await app.Http.PostAsync("/items", Body($$"""{"name":"n{{i}}","price":{{price}}}"""), Ct)).JsonAsync(201);
            Assert.Equal(value, created.GetProperty("price").GetDecimal());
            Assert.Equal(created.GetRawText(), await app.Http.GetStringAsync($"/items/{i + 1}", Ct));
            var found = await (await app.Http.GetAsync($"/items?price={price}&name=n{i}", Ct)).JsonAsync();
            Assert.Equal(1, found.GetArrayLength());
        }

        foreach (var price in new[] { "1234567890123456", "0.1234567890123456", "1e15", "-1000000000000001", "1.00000000000000000001" }.Where(p => p != "1e15"))
            await (await app.Http.PostAsync("/items", Body($$"""{"name":"n","price":{{price}}}"""), Ct)).ShouldBeProblemAsync(422, "http/invalid");
    }

    [Theory]
    [InlineData("at", "\"2026-01-31T12:00:00\"", "\"2026-01-31T12:00:00Z\"")]
    [InlineData("at", "\"2026-01-31T14:00:00.1234567+02:00\"", "\"2026-01-31T12:00:00.123456Z\"")]
    [InlineData("since", "\"2026-01-31T14:00:00+02:00\"", "\"2026-01-31T12:00:00Z\"")]
    [InlineData("real", "-0.0", "0")]
    [InlineData("amount", "1.500", "1.5")]
    [InlineData("maybe_colour", "\"deep_blue\"", "\"deep_blue\"")]
    [InlineData("maybe_colour", "null", "null")]
    [InlineData("nested", """{"street":"a","number":null,"more":null,"unknown":1}""", """{"street":"a","number":null,"more":null}""")]
    public async Task A_value_is_brought_to_one_form(string field, string sent, string kept)
    {
        await using var app = await TestApp.StartAsync(app => app.Resource<Everything>("/things").AllowAnonymous());
        var patched = await (await PatchedAsync(app, field, sent)).JsonAsync();
        Assert.Equal(kept, patched.GetProperty(field).GetRawText());
        Assert.Equal(kept, (await (await app.Http.GetAsync("/things/1", Ct)).JsonAsync()).GetProperty(field).GetRawText());
    }

    [Theory]
    [InlineData("flag", "1", "must be true or false")]
    [InlineData("small", "2147483648", "must be an integer from -2147483648 to 2147483647")]
    [InlineData("small", "1.5", "must be an integer from -2147483648 to 2147483647")]
    [InlineData("large", "9223372036854775808", "must be an integer")]
    [InlineData("real", "1e999", "must be a number that a double can hold")]
    [InlineData("at", "\"yesterday\"", "must be a date and time (RFC 3339)")]
    [InlineData("day", "\"2026-02-30\"", "must be a date (YYYY-MM-DD)")]
    [InlineData("code", "\"x\"", "must be a UUID")]
    [InlineData("colour", "\"mauve\"", "must be one of deep_blue, red, green")]
    [InlineData("colour", "0", "must be one of deep_blue, red, green")]
    [InlineData("tags", "\"a\"", "must be an array")]
    [InlineData("amount", "null", "must not be null")]
    public async Task A_value_of_the_wrong_type_is_named(string field, string sent, string message)
    {
        await using var app = await TestApp.StartAsync(app => app.Resource<Everything>("/things").AllowAnonymous());
        var problem = await (await PatchedAsync(app, field, sent)).ShouldBeProblemAsync(422, "http/invalid");
        Assert.Equal(message, problem.GetProperty("errors").GetProperty(field)[0].GetString());
    }

    static async Task<HttpResponseMessage> PatchedAsync(TestApp app, string field, string value)
    {
        await (await app.Http.PostAsync("/things", Body(JsonSerializer.Serialize(RandomItem(new Random(1)), Json.Options)), Ct)).JsonAsync(201);
        return await app.Http.PatchAsync("/things/1", Body($$"""{"{{field}}":{{value}}}"""), Ct);
    }

    [Fact]
    public async Task A_patch_merges_nested_records_and_empties_what_is_null()
    {
        await using var app = await TestApp.StartAsync(app => app.Resource<Place>("/places").AllowAnonymous());
        await (await app.Http.PostAsync("/places", Body("""{"name":"a","address":{"street":"s","number":1},"words":{"x":1,"y":2},"stars":5,"note":"n"}"""), Ct)).JsonAsync(201);
        var patched = await app.Http.PatchAsync("/places/1", Body("""{"address":{"number":null},"words":{"x":null,"z":3},"stars":null,"note":null}"""), Ct);
        Assert.Equal("""{"id":1,"name":"a","address":{"street":"s","number":null,"more":null},"words":{"y":2,"z":3},"stars":3,"note":null}""", await patched.Content.ReadAsStringAsync(Ct));
        var wrong = await (await app.Http.PatchAsync("/places/1", Body("""{"name":null,"address":{"street":null},"stars":9}"""), Ct)).ShouldBeProblemAsync(422, "http/invalid");
        Assert.Equal(["address.street", "name", "stars"], wrong.GetProperty("errors").EnumerateObject().Select(e => e.Name).Order());
    }

    public sealed record Place(string Name, Inner Address, Dictionary<string, int> Words, [Range(1, 5)] int Stars = 3, string? Note = "none");

    [Fact]
    public async Task Annotations_of_properties_parameters_and_nested_records_hold()
    {
        await using var app = await TestApp.StartAsync(app => app.Resource<Strict>("/strict").AllowAnonymous());
        var problem = await (await app.Http.PostAsync("/strict", Body("""{"email":"x","count":11,"code":"ab","lines":[{"text":"ok"},{"text":""}]}"""), Ct)).ShouldBeProblemAsync(422, "http/invalid");
        Assert.Equal(["code", "count", "email", "lines[1].text"], problem.GetProperty("errors").EnumerateObject().Select(e => e.Name).Order());
        await (await app.Http.PostAsync("/strict", Body("""{"email":"a@b.c","count":10,"code":"AB","lines":[{"text":"ok"}]}"""), Ct)).JsonAsync(201);
    }

    public sealed record Strict([property: EmailAddress] string Email, [Range(1, 10)] int Count, [RegularExpression("[A-Z]+")] string Code, List<Line> Lines);
    public sealed record Line([Required] string Text);

    [Fact]
    public async Task A_class_with_properties_of_its_own_defaults_and_a_computed_one_works_too()
    {
        await using var app = await TestApp.StartAsync(app => app.Resource<Order>("/orders").AllowAnonymous());
        var created = await (await app.Http.PostAsync("/orders", Body("""{"group":"g","total":99}"""), Ct)).JsonAsync(201);
        Assert.Equal("""{"id":1,"group":"g","count":2,"price":1.5,"total":3.0}""", created.GetRawText().Replace("\"total\":3,", "\"total\":3.0,").Replace("\"total\":3}", "\"total\":3.0}"));
        await (await app.Http.PatchAsync("/orders/1", Body("""{"count":4}"""), Ct)).JsonAsync();
        Assert.Equal(1, (await (await app.Http.GetAsync("/orders?total_gte=6", Ct)).JsonAsync()).GetArrayLength());
    }

    public sealed class Order
    {
        public required string Group { get; init; }
        public int Count { get; set; } = 2;
        public decimal Price { get; set; } = 1.5m;
        public decimal Total => Count * Price;
    }
}
