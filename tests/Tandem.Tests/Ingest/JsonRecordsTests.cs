using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Tandem.Core.Ingest;

namespace Tandem.Tests.Ingest;

/// <summary>The reader of JSON records against the serializer: the same text gives the same records, or neither takes it.</summary>
public sealed class JsonRecordsTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public enum Shade { Light, VeryDark }

    public sealed record Point(double X, double Y);

    public sealed class Extra
    {
        public int Count { get; set; } = 7;
        public string? Note { get; init; } = "none";
    }

    public sealed record Everything(
        long Id, string Name, string? Nick, bool Active, int Small, int? Maybe, double Score, float Single, decimal Price, DateTime At, Guid Key, Shade Shade,
        Point? Place, List<string>? Tags, int[]? Numbers, List<Point>? Path, Extra? Extra, double Ratio = 0.5);

    [Fact]
    public async Task Records_in_an_array_and_one_after_another_are_read()
    {
        var records = Enumerable.Range(0, 1000).Select(i => new Point(i, i / 8.0)).ToList();
        Assert.Equal(records, await ReadAsync<Point>(JsonSerializer.Serialize(records, RecordReader.Options)));
        Assert.Equal(records, await ReadAsync<Point>(string.Join('\n', records.Select(r => JsonSerializer.Serialize(r, RecordReader.Options)))));
        Assert.Equal(records, await ReadAsync<Point>("\uFEFF " + string.Concat(records.Select(r => JsonSerializer.Serialize(r, RecordReader.Options))) + " \r\n"));
        Assert.Empty(await ReadAsync<Point>(""));
        Assert.Empty(await ReadAsync<Point>(" [ ] "));
    }

    public sealed record Labelled(string Kind, string Unique, string[] Tags);

    [Fact]
    public async Task Short_strings_that_repeat_are_one_and_none_is_taken_for_another()
    {
        // Of all lengths around the longest that are looked for, and some that differ in one letter or in their end alone.
        string[] kinds = [.. Enumerable.Range(1, 40).SelectMany(n => new[] { new string('a', n), new string('a', n - 1) + 'b', 'ü' + new string('a', n - 1) })];
        var records = Enumerable.Range(0, 5000).Select(i => new Labelled(kinds[i % 7 * i % kinds.Length], $"{i}", [kinds[i % kinds.Length], "x"])).ToList();
        var read = await ReadAsync<Labelled>(JsonSerializer.Serialize(records, RecordReader.Options));
        Assert.Equal(records.Select(r => (r.Kind, r.Unique, string.Join('|', r.Tags))), read.Select(r => (r.Kind, r.Unique, string.Join('|', r.Tags))));
        // A few are made anew after others that belong in the same place of the table.
        Assert.True(read.Select(r => r.Tags[1]).Distinct(ReferenceEqualityComparer.Instance).Count() < 300);
        Assert.True(read.Where(r => r.Kind.Length == 3).Select(r => r.Kind).Distinct(ReferenceEqualityComparer.Instance).Count() < 300);
    }

    [Fact]
    public async Task Strings_with_escapes_are_shared_by_their_bytes_and_arrays_may_have_any_length()
    {
        var records = Enumerable.Range(0, 3000).Select(i => new Labelled(
            (i % 4) switch { 0 => "say \"a\"", 1 => "say \\\"b\\", 2 => "a\nb", _ => "a\u0001é\"" }, new string('"', i % 40) + new string('x', i % 50),
            [.. Enumerable.Range(0, i % 20).Select(n => n % 5 == 0 ? $"\"{n}\"" : $"{n}")])).ToList();
        var read = await ReadAsync<Labelled>(JsonSerializer.Serialize(records, RecordReader.Options));
        Assert.Equal(records.Select(r => (r.Kind, r.Unique, string.Join('|', r.Tags))), read.Select(r => (r.Kind, r.Unique, string.Join('|', r.Tags))));
        Assert.True(read.Select(r => r.Kind).Distinct(ReferenceEqualityComparer.Instance).Count() < 300);
    }

    public class Base
    {
        public int Inherited { get; set; }
    }

    public sealed class Derived : Base
    {
        public string? Own { get; set; }
    }

    public sealed class Attributed
    {
        [JsonPropertyName("other")]
        public string? Renamed { get; set; }

        [JsonIgnore]
        public string? Hidden { get; set; }

        public required int Needed { get; init; }
        public int Computed => Needed + 1;
        public int Private { get; private set; } = 3;
    }

    public sealed record Defaults(Shade? Shade = JsonRecordsTests.Shade.VeryDark, int? Number = 5, string Text = "t", decimal Price = 1.5m, Point? Place = null)
    {
        public string A_name_that_is_longer_than_what_is_compared_at_once { get; set; } = "";
        public Attributed? Inner { get; init; }
        public Derived[]? Many { get; set; }
    }

    [Theory]
    [InlineData("""{"other":"a","hidden":"b","needed":1,"computed":7,"private":9}""")]
    [InlineData("""{"renamed":"a","needed":1}""")]
    [InlineData("""{"other":"a"}""")]
    [InlineData("""{"needed":1,"needed":2}""")]
    public Task Attributes_count_as_they_do_for_the_serializer(string text) => SameAsync<Attributed>(text);

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"shade":null,"number":null,"text":null,"place":{"x":1}}""")]
    [InlineData("""{"shade":"light","number":7,"text":"u","price":2,"place":{"x":1,"y":2},"a_name_that_is_longer_than_what_is_compared_at_once":"v","inner":{"needed":4},"many":[{"inherited":1,"own":"w"},null,{}]}""")]
    [InlineData("""{ "shade" : "light" ,"number":7, "text":"u","a_name_that_is_longer_than_what_is_compared_at_once" :"v","inner":{},"many":[]}""")]
    [InlineData("""{"inner":{"other":"x"}}""")]
    public Task Defaults_and_types_within_types_are_what_the_serializer_makes_of_them(string text) => SameAsync<Defaults>(text);

    static async Task SameAsync<T>(string text)
    {
        string ours, theirs;
        try
        {
            ours = JsonSerializer.Serialize(Assert.Single(await ReadAsync<T>(text)));
        }
        catch (JsonRecordException)
        {
            ours = "refused";
        }

        try
        {
            theirs = JsonSerializer.Serialize(JsonSerializer.Deserialize<T>(text, RecordReader.Options));
        }
        catch (JsonException)
        {
            theirs = "refused";
        }

        Assert.Equal(theirs, ours);
    }

    [Fact]
    public async Task Behind_a_bad_record_nothing_comes_and_either_token_ends_the_reading()
    {
        await using (var points = JsonRecords.ReadAsync<Point>(Stream("""{"x":1,"y":2} 7 {"x":3,"y":4}"""), Ct).GetAsyncEnumerator(Ct))
        {
            Assert.True(await points.MoveNextAsync());
            await Assert.ThrowsAsync<JsonRecordException>(async () => await points.MoveNextAsync());
            Assert.False(await points.MoveNextAsync());
        }

        using var ended = new CancellationTokenSource();
        await ended.CancelAsync();
        using var open = new CancellationTokenSource();
        foreach (var (first, second) in new[] { (ended, open), (open, ended) })
            await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
            {
                await foreach (var point in JsonRecords.ReadAsync<Point>(Stream("""{"x":1,"y":2}"""), first.Token).WithCancellation(second.Token))
                    Assert.Fail($"{point}");
            });
    }

    [Fact]
    public async Task Records_longer_than_a_block_and_across_blocks_are_read_whole()
    {
        var random = new Random(5);
        var records = Enumerable.Range(0, 400).Select(i => new Extra { Count = i, Note = new string((char)('a' + i % 26), random.Next(i % 50 == 0 ? 3_000_000 : 20_000)) }).ToList();
        foreach (var text in new[] { JsonSerializer.Serialize(records, RecordReader.Options), string.Join('\n', records.Select(r => JsonSerializer.Serialize(r, RecordReader.Options))) })
        {
            var read = await ReadAsync<Extra>(text);
            Assert.Equal(records.Select(r => (r.Count, r.Note)), read.Select(r => (r.Count, r.Note)));
        }
    }

    [Fact]
    public async Task Random_records_are_read_as_the_serializer_reads_them()
    {
        var random = new Random(42);
        for (var round = 0; round < 3000; round++)
        {
            var text = RandomRecord(random);
            await SameAsync(text);
        }
    }

    [Fact]
    public async Task Broken_records_are_refused_when_the_serializer_refuses_them_and_only_then()
    {
        var random = new Random(43);
        var (taken, refused) = (0, 0);
        for (var round = 0; round < 20_000; round++)
        {
            var bytes = Encoding.UTF8.GetBytes(RandomRecord(random));
            for (var changes = random.Next(1, 3); changes > 0; changes--)
                bytes = Mutate(bytes, random);
            if (await SameAsync(bytes))
                taken++;
            else
                refused++;
        }

        // Both happen often enough to say something.
        Assert.True(taken > 1000 && refused > 5000, $"{taken} taken, {refused} refused");
    }

    [Fact]
    public async Task Where_a_block_ends_makes_no_difference()
    {
        var random = new Random(44);
        for (var round = 0; round < 2000; round++)
        {
            var bytes = Encoding.UTF8.GetBytes(random.Next(2) == 0 ? $" [{RandomRecord(random)} , {RandomRecord(random)}] " : $"{RandomRecord(random)}\n{RandomRecord(random)}");
            if (random.Next(2) == 0)
                bytes = Mutate(bytes, random);
            Assert.Equal(await OutcomeAsync(bytes, 1 << 20), await OutcomeAsync(bytes, random.Next(1, 200)));
        }

        async Task<string> OutcomeAsync(byte[] bytes, int block)
        {
            var records = new List<Everything?>();
            try
            {
                await foreach (var record in JsonRecords.ReadAsync<Everything>(new MemoryStream(bytes), block, Ct))
                    records.Add(record);
                return Text(records);
            }
            catch (JsonRecordException e)
            {
                return Text(records) + e.Message;
            }
        }
    }

    [Theory]
    [InlineData("""{"id":00}""")]
    [InlineData("""{"id":-}""")]
    [InlineData("""{"id":1.0}""")]
    [InlineData("""{"id":1e2}""")]
    [InlineData("""{"id":9223372036854775807}""")]
    [InlineData("""{"id":9223372036854775808}""")]
    [InlineData("""{"id":-9223372036854775808}""")]
    [InlineData("""{"id":-9223372036854775809}""")]
    [InlineData("""{"id":18446744073709551617}""")]
    [InlineData("""{"small":2147483648}""")]
    [InlineData("""{"score":.5}""")]
    [InlineData("""{"score":5.}""")]
    [InlineData("""{"score":-0}""")]
    [InlineData("""{"score":-0.0}""")]
    [InlineData("""{"score":01.5}""")]
    [InlineData("""{"score":1e400}""")]
    [InlineData("""{"score":1e-400}""")]
    [InlineData("""{"score":9007199254740993}""")]
    [InlineData("""{"score":0.1000000000000000055511151231257827}""")]
    [InlineData("""{"score":123456789012345678901234567890}""")]
    [InlineData("""{"score":2.2250738585072011e-308}""")]
    [InlineData("""{"price":79228162514264337593543950336}""")]
    [InlineData("""{"price":1e2}""")]
    [InlineData("""{"price":0.1e-30}""")]
    [InlineData("""{"single":3.5e38}""")]
    [InlineData("""{"name":"\ud83d\ude00"}""")]
    [InlineData("""{"name":"\ud83d"}""")]
    [InlineData("""{"name":"\ude00\ud83d"}""")]
    [InlineData("""{"name":"\u00e9\/\b\f\n\r\t\"\\"}""")]
    [InlineData("""{"name":"\x"}""")]
    [InlineData("""{"name":"\u12"}""")]
    [InlineData("""{"n\u0061me":"escaped name"}""")]
    [InlineData("""{"name":"a","name":"b"}""")]
    [InlineData("""{"name":null,"active":null}""")]
    [InlineData("""{"nope":{"a":[1,2,{"b":"c"}],"d":null},"name":"x"}""")]
    [InlineData("""{"nope":[1,]}""")]
    [InlineData("""{"name":"x",}""")]
    [InlineData("""{"place":null,"tags":null,"extra":{},"maybe":null}""")]
    [InlineData("""{"place":{"x":1},"tags":[],"numbers":[1,2],"path":[{"x":1,"y":2},null],"extra":{"count":null}}""")]
    [InlineData("""{"shade":"very_dark"}""")]
    [InlineData("""{"shade":1}""")]
    [InlineData("""{"at":"2026-01-31T12:00:00Z","key":"8c6a6a2e-3a6d-4f0c-9a53-3c1f7a2b6d11"}""")]
    [InlineData("""{"Name":"other case"}""")]
    [InlineData("""{"name" : "space before the colon" }""")]
    [InlineData("{\"name\":\"a\u0001b\"}")]
    [InlineData("{}{}")]
    [InlineData("null")]
    [InlineData("{} x")]
    [InlineData("[]")]
    public async Task Edges_are_where_the_serializer_has_them(string text) => await SameAsync(text);

    public sealed record Reading(string Sensor, double Value, string? Note = null);

    [Fact]
    public async Task A_request_may_bring_any_number_of_records()
    {
        await using var server = await TestApp.StartAsync(app =>
            app.MapPost("/readings/mean", async (HttpRequest request, CancellationToken ct) =>
            {
                var (sum, count) = (0.0, 0);
                await foreach (var reading in JsonRecords.ReadAsync<Reading>(request, ct))
                    (sum, count) = (sum + reading.Value, count + 1);
                return Results.Ok(new { mean = sum / count });
            }).AllowAnonymous());
        var answer = await server.Http.PostAsync("/readings/mean", new StringContent("{\"sensor\":\"a\",\"value\":1}\n{\"sensor\":\"b\",\"value\":2}"), Ct);
        Assert.Equal("""{"mean":1.5}""", await answer.Content.ReadAsStringAsync(Ct));
        answer = await server.Http.PostAsync("/readings/mean", new StringContent("{\"sensor\":\"a\",\"value\":1}\n{\"sensor\":\"b\",\"value\":\"2\"}"), Ct);
        Assert.Equal(422, (int)answer.StatusCode);
        Assert.Contains("Record 2 (line 2, byte", await answer.Content.ReadAsStringAsync(Ct));
    }

    [Fact]
    public async Task Text_that_is_not_UTF8_is_refused()
    {
        byte[] bytes = [.. """{"name":"a"""u8, 0xff, .. "\"}"u8];
        var problem = await Assert.ThrowsAsync<JsonRecordException>(() => ReadAsync<Everything>(bytes));
        Assert.Contains("UTF-8", problem.Message);
    }

    [Fact]
    public async Task A_bad_record_is_named_by_number_line_and_byte_and_those_before_it_come()
    {
        var read = new List<Point>();
        var problem = await Assert.ThrowsAsync<JsonRecordException>(async () =>
        {
            await foreach (var point in JsonRecords.ReadAsync<Point>(Stream("{\"x\":1,\"y\":2}\n{\"x\":3,\"y\":4}\n\n{\"x\":true}\n"), Ct))
                read.Add(point);
        });
        Assert.Equal([new Point(1, 2), new Point(3, 4)], read);
        Assert.Equal((3, 4, 34), (problem.Record, problem.Line, problem.Offset));
        Assert.Equal("Record 3 (line 4, byte 34): a number must come here, not 't'.", problem.Message);
    }

    [Theory]
    [InlineData(64, true)]
    [InlineData(100, false)]
    public async Task Deep_values_are_refused_before_they_cost_the_stack(int depth, bool taken)
    {
        var text = $$"""{"nope":{{new string('[', depth)}}{{new string(']', depth)}}}""";
        if (taken)
            Assert.Single(await ReadAsync<Everything>(text));
        else
            Assert.Contains("nested deeper", (await Assert.ThrowsAsync<JsonRecordException>(() => ReadAsync<Everything>(text))).Message);
    }

    static Task<bool> SameAsync(string text) => SameAsync(Encoding.UTF8.GetBytes(text));

    /// <returns>True when both took the text.</returns>
    static async Task<bool> SameAsync(byte[] text)
    {
        string? ours = null, theirs = null, problem = null;
        try
        {
            ours = Text(await ReadAsync<Everything>(text));
        }
        catch (JsonRecordException e)
        {
            problem = e.Message;
        }

        try
        {
            theirs = Text(Reference(text));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            problem ??= e.Message;
        }

        if (ours != theirs)
        {
            var differ = Math.Max(0, (ours ?? "").Zip(theirs ?? "").TakeWhile(c => c.First == c.Second).Count() - 40);
            Assert.Fail($"{Encoding.UTF8.GetString(text)}\n{problem}\nhere: {ours?[differ..] ?? "refused"}\nserializer: {theirs?[differ..] ?? "refused"}");
        }

        return ours is not null;
    }

    /// <summary>An array, or values one after another, as the serializer reads them.</summary>
    static List<Everything?> Reference(byte[] text)
    {
        // Invalid UTF-8 in members that are passed is not looked at by the serializer; here all of the text must be UTF-8.
        try
        {
            _ = new UTF8Encoding(false, true).GetCharCount(text);
        }
        catch (DecoderFallbackException e)
        {
            throw new JsonException("not UTF-8", e);
        }

        var reader = new Utf8JsonReader(text, new JsonReaderOptions { AllowMultipleValues = true });
        var records = new List<Everything?>();
        var (first, array) = (true, false);
        while (reader.Read())
        {
            if (first && reader.TokenType == JsonTokenType.StartArray)
            {
                array = true;
                records.AddRange(JsonSerializer.Deserialize<List<Everything?>>(ref reader, RecordReader.Options)!);
            }
            else if (array)
                throw new JsonException("something behind the array");
            else
                records.Add(JsonSerializer.Deserialize<Everything>(ref reader, RecordReader.Options));
            first = false;
        }

        return records.Contains(null) ? throw new JsonException("no record") : records;
    }

    static string Text(IEnumerable<Everything?> records) => JsonSerializer.Serialize(records, new JsonSerializerOptions { NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals });

    static async Task<List<T>> ReadAsync<T>(string text) => await ReadAsync<T>(Encoding.UTF8.GetBytes(text));

    static async Task<List<T>> ReadAsync<T>(byte[] text)
    {
        var records = new List<T>();
        await foreach (var record in JsonRecords.ReadAsync<T>(new MemoryStream(text), Ct))
            records.Add(record);
        return records;
    }

    static MemoryStream Stream(string text) => new(Encoding.UTF8.GetBytes(text));

    static byte[] Mutate(byte[] text, Random random)
    {
        const string Interesting = "{}[]\",:0123456789.eE+-\\ntu \n";
        var at = random.Next(text.Length);
        var other = random.Next(4) == 0 ? (byte)random.Next(256) : (byte)Interesting[random.Next(Interesting.Length)];
        return random.Next(4) switch
        {
            0 => [.. text[..at], .. text[(at + 1)..]],
            1 => [.. text[..at], other, .. text[at..]],
            2 when at > 0 => text[..at],
            _ => [.. text[..at], other, .. text[(at + 1)..]],
        };
    }

    static string RandomRecord(Random random)
    {
        var members = new List<string>
        {
            $"\"id\":{random.NextInt64()}", $"\"name\":{RandomString(random)}", $"\"nick\":{(random.Next(2) == 0 ? "null" : RandomString(random))}",
            $"\"active\":{(random.Next(2) == 0 ? "true" : "false")}", $"\"small\":{random.Next(int.MinValue, int.MaxValue)}",
            $"\"maybe\":{(random.Next(2) == 0 ? "null" : "5")}", $"\"score\":{RandomNumber(random)}", $"\"single\":{random.NextSingle().ToString(CultureInfo.InvariantCulture)}",
            $"\"price\":{(random.NextDouble() * 1000).ToString("0.00", CultureInfo.InvariantCulture)}", "\"at\":\"2026-01-31T12:00:00Z\"", $"\"key\":\"{Guid.NewGuid()}\"",
            $"\"shade\":\"{(random.Next(2) == 0 ? "light" : "very_dark")}\"", $"\"place\":{{\"x\":{RandomNumber(random)},\"y\":{RandomNumber(random)}}}",
            $"\"tags\":[{string.Join(',', Enumerable.Range(0, random.Next(3)).Select(_ => RandomString(random)))}]", "\"numbers\":[1, 2,3]",
            $"\"path\":[{{\"x\":1,\"y\":{RandomNumber(random)}}}]", $"\"extra\":{{\"count\":{random.Next()},\"note\":{RandomString(random)}}}",
            $"\"other{random.Next(10)}\":{{\"a\":[{RandomNumber(random)},null,{RandomString(random)}]}}", "\"ratio\":0.25",
        };
        // Mostly in the type's order, sometimes with some left out, sometimes in any order.
        var shown = random.Next(3) == 0 ? members.Where(_ => random.Next(4) > 0).ToList() : members;
        if (random.Next(4) == 0)
            shown = [.. shown.OrderBy(_ => random.Next())];
        var separator = random.Next(3) switch { 0 => ", ", 1 => ",\n  ", _ => "," };
        return $"{{{string.Join(separator, shown)}}}";
    }

    static string RandomString(Random random)
    {
        var text = new StringBuilder();
        for (var length = random.Next(random.Next(2) == 0 ? 12 : 80); length > 0; length--)
            text.Append(random.Next(12) switch
            {
                0 => "é",
                1 => "\\n",
                2 => "\\u00e9",
                3 => "😀",
                4 => "\\ud83d\\ude00",
                5 => "\\\"",
                _ => ((char)('a' + random.Next(26))).ToString(),
            });
        return $"\"{text}\"";
    }

    static string RandomNumber(Random random) => random.Next(5) switch
    {
        0 => random.Next(-1000, 1000).ToString(CultureInfo.InvariantCulture),
        1 => random.NextDouble().ToString("R", CultureInfo.InvariantCulture),
        2 => (random.NextDouble() * Math.Pow(10, random.Next(-30, 30))).ToString("E16", CultureInfo.InvariantCulture),
        3 => (random.Next() / 100.0).ToString(CultureInfo.InvariantCulture),
        _ => random.NextInt64().ToString(CultureInfo.InvariantCulture) + "." + random.Next().ToString(CultureInfo.InvariantCulture),
    };
}
