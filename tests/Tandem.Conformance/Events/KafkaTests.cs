using System.Text.Json;
using Confluent.Kafka;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Configuration;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Kafka;

namespace Tandem.Conformance.Events;

/// <summary>What goes wrong between the database and Kafka, and what comes of it.</summary>
public sealed class KafkaTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_is_sent_again_after_a_crash_is_dropped()
    {
        await using var stage = await KafkaStage.MakeAsync();
        await using (var app = await stage.StartAsync())
        {
            await EventStage.TellAsync(app, keys: 8, first: 0, count: 10);
            await EventStage.UntilAsync(app, WitnessModule.Left, 80);
            await EventStage.UntilAsync(app, WitnessModule.Right, 80);
            // As if the process had died before it stored that these were acknowledged.
            await app.Db.ExecuteAsync($"update events_positions set position = 10 where consumer = 'kafka'", Ct);
        }

        await using (var app = await stage.StartAsync())
        {
            await EventStage.TellAsync(app, keys: 8, first: 10, count: 10);
            foreach (var witness in new[] { WitnessModule.Left, WitnessModule.Right })
            {
                await EventStage.UntilAsync(app, witness, 160);
                await EventStage.HasAllAsync(app, witness, keys: 8, count: 20);
            }

            Assert.Equal(160 + 70, (await app.Services.GetRequiredService<EventTopic>().EndsAsync(Ct)).Sum());
        }
    }

    [Fact]
    public async Task Events_wait_while_the_brokers_are_away_and_flow_when_they_are_back()
    {
        await using var stage = await KafkaStage.MakeAsync();
        await using var app = await stage.StartAsync();
        await EventStage.TellAsync(app, keys: 6, first: 0, count: 5);
        await EventStage.UntilAsync(app, WitnessModule.Left, 30);
        await stage.Cluster.TellAsync("down all");

        await EventStage.TellAsync(app, keys: 6, first: 5, count: 5);
        var kafka = await ReadyAsync(app);
        Assert.Equal("degraded", kafka.GetProperty("status").GetString());
        Assert.Contains("start the brokers", kafka.GetProperty("reason").GetString());
        var progress = app.Services.GetRequiredService<ConsumerProgress>();
        Assert.Equal(30, (await progress.ListAsync(Ct)).Single(c => c.Consumer == "kafka").Lag);
        Assert.False(await progress.CaughtUpAsync(WitnessModule.Left, ["tests.told"], TimeSpan.FromMilliseconds(300), Ct));

        await stage.Cluster.TellAsync("up all");
        foreach (var witness in new[] { WitnessModule.Left, WitnessModule.Right })
        {
            await EventStage.UntilAsync(app, witness, 60);
            await EventStage.HasAllAsync(app, witness, keys: 6, count: 10);
        }

        await Eventually.TrueAsync(async () => (await ReadyAsync(app)).GetProperty("status").GetString() == "healthy");
    }

    [Fact]
    public async Task The_program_stops_in_order_while_the_brokers_are_away()
    {
        await using var stage = await KafkaStage.MakeAsync();
        var first = await stage.StartAsync();
        await EventStage.TellAsync(first, keys: 6, first: 0, count: 5);
        await EventStage.UntilAsync(first, WitnessModule.Left, 30);
        await stage.Cluster.TellAsync("down all");
        await EventStage.TellAsync(first, keys: 6, first: 5, count: 5);
        // Less than a supervisor waits before it kills.
        await first.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(8), Ct);

        // Started while they are still away, it serves; then everything flows.
        await using (var app = await stage.StartAsync())
        {
            await EventStage.TellAsync(app, keys: 6, first: 10, count: 5);
            await stage.Cluster.TellAsync("up all");
            await EventStage.UntilAsync(app, WitnessModule.Left, 90);
            await EventStage.HasAllAsync(app, WitnessModule.Left, keys: 6, count: 15);
        }
    }

    [Fact]
    public async Task Two_processes_share_the_partitions_and_one_takes_over_from_the_other()
    {
        TestStores.NeedsPostgres();
        await using var stage = await (await KafkaStage.MakeAsync()).OnPostgresAsync();
        await using var stays = await stage.StartAsync();
        await using (var goes = await stage.StartAsync())
        {
            await EventStage.TellAsync(goes, keys: 8, first: 0, count: 20);
            await EventStage.UntilAsync(stays, WitnessModule.Left, 160);
            // Its partitions, and the relay when it had that, are free from here on; the other must take them in the middle of this.
            await EventStage.TellAsync(goes, keys: 8, first: 20, count: 20);
        }

        await EventStage.TellAsync(stays, keys: 8, first: 40, count: 20);
        foreach (var witness in new[] { WitnessModule.Left, WitnessModule.Right })
        {
            await EventStage.UntilAsync(stays, witness, 480);
            await EventStage.HasAllAsync(stays, witness, keys: 8, count: 60);
        }
    }

    /// <summary>The protocol's error codes; −195 closes the connection instead of an answer.</summary>
    [Theory]
    [InlineData(-195)] // the connection is closed without an answer
    [InlineData(6)] // not the leader any more
    [InlineData(7)] // timed out, stored or not
    [InlineData(19)] // not enough replicas
    [InlineData(87)] // invalid record: not tried again by the client
    [InlineData(29)] // not allowed: not tried again by the client
    public async Task Refused_requests_lose_nothing_and_keep_the_order(int error)
    {
        await using var stage = await KafkaStage.MakeAsync();
        // Small requests, so that behind the one that is refused others wait for the same partition.
        await using var app = await stage.StartAsync("--Kafka:Client:batch.num.messages", "5");
        for (var round = 0; round < 3; round++)
        {
            await stage.Cluster.TellAsync($"errors Produce 2 {error}");
            await app.Db.InTransactionAsync(async tx =>
            {
                for (var number = round * 40; number < (round + 1) * 40; number++)
                    for (var key = 0; key < 4; key++)
                        await tx.PublishAsync(new Told($"k{key}", number, false), Ct);
            }, Ct);
            await EventStage.UntilAsync(app, WitnessModule.Left, (round + 1) * 160);
        }

        await EventStage.HasAllAsync(app, WitnessModule.Left, keys: 4, count: 120);
    }

    [Fact]
    public async Task Leaders_and_coordinators_may_move()
    {
        await using var stage = await KafkaStage.MakeAsync();
        await using var app = await stage.StartAsync();
        for (var round = 0; round < 6; round++)
        {
            var broker = round % 3 + 1;
            await stage.Cluster.TellAsync($"leader {stage.Cluster.Topic} {round % KafkaStage.Partitions} {broker}");
            await stage.Cluster.TellAsync($"coordinator {stage.Cluster.Prefix}.{WitnessModule.Left} {broker}");
            await stage.Cluster.TellAsync($"rtt {broker} {round * 20}");
            await EventStage.TellAsync(app, keys: 8, first: round * 10, count: 10);
            await EventStage.UntilAsync(app, WitnessModule.Left, (round + 1) * 80);
        }

        await EventStage.HasAllAsync(app, WitnessModule.Left, keys: 8, count: 60);
    }

    [Fact]
    public async Task A_missing_topic_is_named_with_the_command_that_makes_it()
    {
        await using var stage = await KafkaStage.MakeAsync(topic: false);
        await using var app = await stage.StartAsync();
        await EventStage.TellAsync(app, keys: 3, first: 0, count: 2);
        if (stage.Cluster.TakesCommands)
        {
            await Eventually.TrueAsync(async () => (await ReadyAsync(app)).GetProperty("reason").GetString()?.Contains(
                $"--create --topic {stage.Cluster.Topic} --partitions 4 --config cleanup.policy=delete --config retention.ms=-1", StringComparison.Ordinal) == true);
            var (code, output, _) = await DoctorAsync(stage);
            Assert.Equal(1, code);
            Assert.Contains($"Topic {stage.Cluster.Topic} is missing: a server makes it as it starts, where it may.", output);
            await stage.Cluster.TopicAsync(KafkaStage.Partitions);
        }

        await EventStage.UntilAsync(app, WitnessModule.Left, 6);
        Assert.Contains("store kafka       answers in", (await DoctorAsync(stage)).Output);
        Assert.Equal("healthy", (await ReadyAsync(app)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task What_waits_for_a_first_topic_shows_as_lag()
    {
        await using var stage = await KafkaStage.MakeAsync(topic: false);
        if (!stage.Cluster.TakesCommands)
            Assert.Skip("Real brokers make the topic at once.");
        await using (var app = await stage.StartOnAsync(stage.StoreSettings))
        {
            await EventStage.TellAsync(app, keys: 2, first: 0, count: 2);
            await EventStage.UntilAsync(app, WitnessModule.Left, 4);
        }

        await using (var app = await stage.StartAsync())
        {
            await EventStage.TellAsync(app, keys: 3, first: 2, count: 1);
            Assert.Equal(3, (await app.Services.GetRequiredService<ConsumerProgress>().ListAsync(Ct)).Single(c => c.Consumer == WitnessModule.Left).Lag);
        }
    }

    [Fact]
    public async Task A_topic_with_another_number_of_partitions_is_refused()
    {
        await using var stage = await KafkaStage.MakeAsync(topic: false);
        await stage.Cluster.TopicAsync(3);
        if (!stage.Cluster.TakesCommands)
            Assert.Skip("Only the mock makes topics for the suite.");
        await using var app = await stage.StartAsync();
        await Eventually.TrueAsync(async () =>
            (await ReadyAsync(app)).GetProperty("reason").GetString()?.Contains("has 3 partitions and Kafka:Partitions is 4", StringComparison.Ordinal) == true);
        Assert.Contains("has 3 partitions and Kafka:Partitions is 4", (await DoctorAsync(stage)).Output);
    }

    [Fact]
    public async Task An_event_too_long_for_a_record_arrives_whole()
    {
        await using var stage = await KafkaStage.MakeAsync();
        await using var app = await stage.StartAsync();
        await EventStage.TellAsync(app, keys: 1, first: 0, count: 1);
        var padding = new string('x', 3_000_000);
        await app.Db.InTransactionAsync(tx => tx.PublishAsync("tests.told", "k0", $$"""{"key":"k0","number":1,"poison":false,"padding":"{{padding}}"}""", Ct), Ct);
        await EventStage.TellAsync(app, keys: 1, first: 2, count: 1);
        await EventStage.UntilAsync(app, WitnessModule.Left, 3);
        await EventStage.HasAllAsync(app, WitnessModule.Left, keys: 1, count: 3);
    }

    [Fact]
    public async Task Another_topic_is_filled_with_everything_and_effects_are_not_repeated()
    {
        await using var stage = await KafkaStage.MakeAsync();
        await using (var app = await stage.StartAsync())
        {
            await EventStage.TellAsync(app, keys: 8, first: 0, count: 10);
            await EventStage.UntilAsync(app, WitnessModule.Left, 80);
            await EventStage.UntilAsync(app, WitnessModule.Right, 80);
        }

        var other = stage.Cluster.Prefix + "-2";
        await stage.Cluster.TopicAsync(KafkaStage.Partitions, other + ".events");
        await using (var app = await stage.StartAsync("--Kafka:TopicPrefix", other))
        {
            await EventStage.TellAsync(app, keys: 8, first: 10, count: 10);
            foreach (var witness in new[] { WitnessModule.Left, WitnessModule.Right })
            {
                await EventStage.UntilAsync(app, witness, 160);
                await EventStage.HasAllAsync(app, witness, keys: 8, count: 20);
            }

            Assert.Equal(160, (await app.Services.GetRequiredService<EventTopic>().EndsAsync(Ct)).Sum());
        }
    }

    [Fact]
    public async Task A_log_that_began_in_the_database_goes_on_in_Kafka()
    {
        await using var stage = await KafkaStage.MakeAsync();
        await using (var app = await stage.StartOnAsync("--Events:MaxAttempts", "1"))
        {
            await EventStage.TellAsync(app, keys: 8, first: 0, count: 10);
            await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Told("bad", 0, true), Ct), Ct);
            await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Told("bad", 1, false), Ct), Ct);
            await EventStage.UntilAsync(app, WitnessModule.Left, 80);
            await EventStage.UntilAsync(app, WitnessModule.Right, 82);
            await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>(Sql.Raw("select count(*) from events_set_aside"), Ct) == 2);
        }

        await using (var app = await stage.StartAsync())
        {
            await EventStage.TellAsync(app, keys: 8, first: 10, count: 10);
            await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Told("bad", 2, false), Ct), Ct);
            await EventStage.UntilAsync(app, WitnessModule.Right, 163);
            await EventStage.UntilAsync(app, WitnessModule.Left, 160);
            await EventStage.HasAllAsync(app, WitnessModule.Left, keys: 8, count: 20);
            await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>(Sql.Raw("select count(*) from events_set_aside"), Ct) == 3);

            // What was set aside before is still first of its key.
            WitnessModule.Cured[stage.Data] = true;
            await app.Db.ExecuteAsync($"update events_set_aside set state = 'retrying', next_attempt_at = {DateTime.UnixEpoch} where state = 'parked'", Ct);
            await EventStage.UntilAsync(app, WitnessModule.Left, 163);
            Assert.Equal([0L, 1L, 2L], await app.Db.ListAsync<long>($"select number from witness_told where witness = {WitnessModule.Left} and key = 'bad' order by place", Ct));
        }
    }

    [Fact]
    public async Task A_log_that_went_to_Kafka_waits_for_it_and_repeats_nothing()
    {
        await using var stage = await KafkaStage.MakeAsync();
        await using (var app = await stage.StartAsync())
        {
            await EventStage.TellAsync(app, keys: 8, first: 0, count: 5);
            await EventStage.UntilAsync(app, WitnessModule.Left, 40);
        }

        // Somebody forgets the setting: changes are kept, and no consumer takes the offsets for positions in the database's log.
        await using (var app = await stage.StartOnAsync())
        {
            await EventStage.TellAsync(app, keys: 8, first: 5, count: 5);
            Assert.False(await app.Services.GetRequiredService<ConsumerProgress>().CaughtUpAsync(WitnessModule.Left, ["tests.told"], TimeSpan.FromSeconds(1), Ct));
            Assert.Equal(40, await app.Db.FindAsync<long>($"select count(*) from witness_told where witness = {WitnessModule.Left}", Ct));
        }

        await using (var app = await stage.StartAsync())
            foreach (var witness in new[] { WitnessModule.Left, WitnessModule.Right })
            {
                await EventStage.UntilAsync(app, witness, 80);
                await EventStage.HasAllAsync(app, witness, keys: 8, count: 10);
            }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Events_come_back_from_Kafka_though_consumers_are_behind_and_the_brokers_are_gone(bool onPostgres)
    {
        await using var stage = await KafkaStage.MakeAsync();
        if (onPostgres)
            await stage.OnPostgresAsync();
        await using (var app = await stage.StartAsync("--Events:MaxAttempts", "1"))
        {
            await EventStage.TellAsync(app, keys: 8, first: 0, count: 10);
            await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Told("bad", 0, true), Ct), Ct);
            await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Told("bad", 1, false), Ct), Ct);
            await EventStage.UntilAsync(app, WitnessModule.Left, 80);
            await EventStage.UntilAsync(app, WitnessModule.Right, 82);
            await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>(Sql.Raw("select count(*) from events_set_aside"), Ct) == 2);
        }

        await using (var app = await stage.StartOnAsync([.. stage.StoreSettings]))
        {
            // One consumer is as if it had not had two of the four partitions yet.
            foreach (var partition in Enumerable.Range(0, KafkaStage.Partitions).Except([KeyPartition.Of("bad", KafkaStage.Partitions)]).Take(2))
                await app.Db.InTransactionAsync(async tx =>
                {
                    foreach (var key in Enumerable.Range(0, 8).Select(k => $"k{k}").Where(k => KeyPartition.Of(k, KafkaStage.Partitions) == partition))
                        await tx.ExecuteAsync($"delete from witness_told where witness = {WitnessModule.Left} and key = {key}", Ct);
                    await tx.ExecuteAsync($"update events_positions set position = 0, sequence = 0 where consumer = {WitnessModule.Left} and partition = {partition}", Ct);
                }, Ct);
            await EventStage.TellAsync(app, keys: 8, first: 10, count: 5);
        }

        var (code, output, error) = await stage.GrowAsync("--from-kafka");
        Assert.True(code == 0, error);
        Assert.Contains("in the database's own log again", output);
        (code, _, error) = await stage.GrowAsync("--from-kafka");
        Assert.Equal(1, code);
        Assert.Contains("nothing to take back", error);

        await using (var app = await stage.StartOnAsync([.. stage.StoreSettings]))
        {
            await EventStage.TellAsync(app, keys: 8, first: 15, count: 5);
            await app.Db.InTransactionAsync(tx => tx.PublishAsync(new Told("bad", 2, false), Ct), Ct);
            await EventStage.UntilAsync(app, WitnessModule.Right, 163);
            await EventStage.UntilAsync(app, WitnessModule.Left, 160);
            foreach (var witness in new[] { WitnessModule.Left, WitnessModule.Right })
                await EventStage.HasAllAsync(app, witness, keys: 8, count: 20);

            // What was parked is still first of its key.
            WitnessModule.Cured[stage.Data] = true;
            await app.Db.ExecuteAsync($"update events_set_aside set state = 'retrying', next_attempt_at = {DateTime.UnixEpoch} where state = 'parked'", Ct);
            await EventStage.UntilAsync(app, WitnessModule.Left, 163);
            Assert.Equal([0L, 1L, 2L], await app.Db.ListAsync<long>($"select number from witness_told where witness = {WitnessModule.Left} and key = 'bad' order by place", Ct));
        }

        // And there again: what was done stays done.
        await using (var app = await stage.StartAsync())
        {
            await EventStage.TellAsync(app, keys: 8, first: 20, count: 5);
            foreach (var witness in new[] { WitnessModule.Left, WitnessModule.Right })
            {
                await EventStage.UntilAsync(app, witness, 203);
                await EventStage.HasAllAsync(app, witness, keys: 8, count: 25);
            }
        }
    }

    [Fact]
    public async Task A_record_that_is_no_event_is_passed_by()
    {
        await using var stage = await KafkaStage.MakeAsync();
        await using var app = await stage.StartAsync();
        await EventStage.TellAsync(app, keys: 8, first: 0, count: 1);
        await EventStage.UntilAsync(app, WitnessModule.Left, 8);
        using (var stranger = new ProducerBuilder<string, string>(new ProducerConfig { BootstrapServers = stage.Cluster.BootstrapServers }).Build())
            for (var partition = 0; partition < KafkaStage.Partitions; partition++)
                await stranger.ProduceAsync(new TopicPartition(stage.Cluster.Topic, partition), new Message<string, string> { Key = "k0", Value = "hello" }, Ct);
        await EventStage.TellAsync(app, keys: 8, first: 1, count: 1);
        await EventStage.UntilAsync(app, WitnessModule.Left, 16);
        await EventStage.HasAllAsync(app, WitnessModule.Left, keys: 8, count: 2);
    }

    [Fact]
    public async Task What_retention_deleted_stops_nobody()
    {
        await using var stage = await KafkaStage.MakeAsync();
        long[] ends;
        await using (var app = await stage.StartAsync())
        {
            await EventStage.TellAsync(app, keys: 8, first: 0, count: 10);
            await EventStage.UntilAsync(app, WitnessModule.Left, 80);
            ends = await app.Services.GetRequiredService<EventTopic>().EndsAsync(Ct);
        }

        // A consumer that is far behind finds the beginning gone.
        foreach (var (partition, end) in ends.Index())
            await stage.Cluster.TellAsync($"trim {stage.Cluster.Topic} {partition} {end / 2}");
        await using (var app = await stage.StartAsync())
        {
            await app.Db.InTransactionAsync(async tx =>
            {
                await tx.ExecuteAsync($"delete from witness_told where witness = {WitnessModule.Right}", Ct);
                await tx.ExecuteAsync($"update events_positions set position = 0, sequence = 0 where consumer = {WitnessModule.Right}", Ct);
            }, Ct);
            await EventStage.TellAsync(app, keys: 8, first: 10, count: 10);
            await EventStage.UntilAsync(app, WitnessModule.Left, 160);
            await Eventually.TrueAsync(async () => await app.Db.FindAsync<long>($"select count(*) from witness_told where witness = {WitnessModule.Right} and number >= 10", Ct) == 80);
        }
    }

    [Fact]
    public async Task Settings_that_delivery_depends_on_cannot_be_set()
    {
        await using var stage = new EventStage("--Kafka:BootstrapServers", "127.0.0.1:1", "--Kafka:Client:acks", "1");
        var refused = await Assert.ThrowsAsync<ConfigurationException>(() => stage.StartAsync());
        Assert.Contains("Kafka:Client:acks", refused.Message);
    }

    /// <summary>Values of Kafka's own test, UtilsTest.testMurmur2.</summary>
    [Theory]
    [InlineData("21", -973932308)]
    [InlineData("foobar", -790332482)]
    [InlineData("a-little-bit-long-string", -985981536)]
    [InlineData("a-little-bit-longer-string", -1486304829)]
    [InlineData("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)]
    [InlineData("abc", 479470107)]
    public void Keys_go_where_other_clients_of_Kafka_expect_them(string key, int hash) =>
        Assert.Equal(hash, KeyPartition.Murmur2(System.Text.Encoding.UTF8.GetBytes(key)));

    static Task<(int Code, string Output, string Error)> DoctorAsync(KafkaStage stage) => Programs.RunAsync(
        ["doctor", "--data", stage.Data, "--urls", "http://127.0.0.1:0", .. stage.StoreSettings, .. stage.Cluster.Settings, "--Kafka:Partitions", $"{KafkaStage.Partitions}"]);

    static async Task<JsonElement> ReadyAsync(TestApp app)
    {
        using var response = await app.Http.GetAsync("/health/ready", Ct);
        // Requests are answered without Kafka, so the process stays in service.
        Assert.Equal(System.Net.HttpStatusCode.OK, response.StatusCode);
        return JsonDocument.Parse(await response.Content.ReadAsStringAsync(Ct)).RootElement.GetProperty("checks").EnumerateArray()
            .Single(c => c.GetProperty("name").GetString() == "kafka");
    }
}
