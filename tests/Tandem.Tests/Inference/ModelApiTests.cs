using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Tandem.Tests.Repo;

namespace Tandem.Tests.Inference;

/// <summary>Models over HTTP, trained by the shipped program beside the server, as a user does it.</summary>
public sealed class ModelApiTests
{
    const string Setosa = """{"sepal_length":5.1,"sepal_width":3.5,"petal_length":1.4,"petal_width":0.2}""";

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_model_trained_beside_the_server_answers_within_a_second_and_a_new_version_takes_over()
    {
        await using var app = await StartAsync();
        var none = await (await PredictAsync(app, "/predict", Setosa)).ShouldBeProblemAsync(404, "inference/no-model");
        Assert.Contains("model train", none.GetProperty("detail").GetString());

        var (code, said, error) = await TrainAsync(app, "iris.csv", "--target", "species", "--json");
        Assert.True(code == 0, error);
        Assert.InRange(JsonDocument.Parse(said).RootElement.GetProperty("metrics").GetProperty("accuracy").GetDouble(), 0.9, 1);
        // At once: whoever has just trained a first model is not told that there is none.
        Assert.Equal("""{"prediction":["setosa"]}""", await (await PredictAsync(app, "/predict", Setosa)).Content.ReadAsStringAsync(Ct));

        // Another model does not displace the default; another version of it does, at once.
        Assert.Equal(0, (await TrainAsync(app, "wine.csv", "--target", "cultivar", "--name", "wine")).Code);
        Assert.Equal(0, (await TrainAsync(app, "iris.csv", "--target", "species", "--trees", "10")).Code);
        await Eventually.TrueAsync(async () => (await (await app.Http.GetAsync("/models/iris", Ct)).JsonAsync()).GetProperty("serving_version").GetInt64() == 2, 5);
        var models = await (await app.Http.GetAsync("/models", Ct)).JsonAsync();
        Assert.Equal([("iris", true, 2L), ("wine", false, 1L)], models.EnumerateArray().Select(m =>
            (m.GetProperty("name").GetString()!, m.GetProperty("is_default").GetBoolean(), m.GetProperty("version").GetInt64())).Order());
        Assert.Equal("""{"prediction":["setosa"]}""", await (await PredictAsync(app, "/predict", Setosa)).Content.ReadAsStringAsync(Ct));

        var sure = await (await PredictAsync(app, "/models/iris/predict", Setosa)).JsonAsync();
        Assert.Equal(1, sure.GetProperty("probabilities").EnumerateObject().Sum(p => p.Value.GetDouble()), 9);
        Assert.Equal(["setosa", "versicolor", "virginica"], sure.GetProperty("probabilities").EnumerateObject().Select(p => p.Name).Order());
        await (await PredictAsync(app, "/models/nobody/predict", Setosa)).ShouldBeProblemAsync(404, "inference/not-found");
    }

    [Fact]
    public async Task Every_fault_of_a_record_is_named_by_its_feature()
    {
        await using var app = await StartAsync();
        Assert.Equal(0, (await TrainAsync(app, "iris.csv", "--target", "species")).Code);
        await Eventually.TrueAsync(async () => (await PredictAsync(app, "/predict", Setosa)).IsSuccessStatusCode, 5);

        var problem = await (await PredictAsync(app, "/predict", """{"sepal_length":"5","petal_length":null,"petal_width":0.2,"colour":"red"}""")).ShouldBeProblemAsync(422, "http/invalid");
        Assert.Equal(["colour", "petal_length", "sepal_length", "sepal_width"], problem.GetProperty("errors").EnumerateObject().Select(e => e.Name).Order());
        foreach (var broken in new[] { "[]", "null", "5", "", "{", """{"sepal_length":1e999}""", """{"sepal_length":5.1,"sepal_length":5.1,"sepal_width":3.5,"petal_length":1.4,"petal_width":0.2}""" })
            await (await PredictAsync(app, "/predict", broken)).ShouldBeProblemAsync(422, "http/invalid");
        await (await PredictAsync(app, "/predict", Setosa, "text/csv")).ShouldBeProblemAsync(415, "http/unsupported-media-type");
    }

    [Fact]
    public async Task Predicting_takes_a_token_unless_it_is_opened()
    {
        await using var app = await StartAsync();
        app.Http.DefaultRequestHeaders.Authorization = null;
        await (await PredictAsync(app, "/predict", Setosa)).ShouldBeProblemAsync(401, "http/unauthorized");

        await using var open = await TestApp.StartAsync(null, null, "--Inference:PredictOpen", "true");
        await (await PredictAsync(open, "/predict", Setosa)).ShouldBeProblemAsync(404, "inference/no-model");
        await (await open.Http.GetAsync("/models", Ct)).ShouldBeProblemAsync(401, "http/unauthorized");
    }

    [Theory]
    [InlineData("nowhere.csv", "species", 2, "nowhere.csv")]
    [InlineData("iris.csv", "colour", 2, "sepal_length")]
    [InlineData("iris.csv", null, 2, "--target")]
    public async Task Training_says_what_it_cannot_do(string file, string? target, int exit, string says)
    {
        await using var app = await StartAsync();
        var (code, said, error) = await TrainAsync(app, file, target is null ? [] : ["--target", target]);
        Assert.True(code == exit, $"{code}: {said}{error}");
        Assert.Contains(says, said + error);
        Assert.DoesNotContain("   at ", error);
    }

    [Fact]
    public async Task The_same_file_and_seed_give_the_same_model_and_a_damaged_file_does_not_serve()
    {
        TestStores.OnlyEmbedded();
        await using var app = await StartAsync();
        Assert.Equal(0, (await TrainAsync(app, "iris.csv", "--target", "species", "--seed", "7")).Code);
        Assert.Equal(0, (await TrainAsync(app, "iris.csv", "--target", "species", "--seed", "7", "--name", "twin")).Code);
        var digests = new List<string?>();
        foreach (var name in new[] { "iris", "twin" })
            digests.Add((await (await app.Http.GetAsync("/models/" + name, Ct)).JsonAsync()).GetProperty("versions")[0].GetProperty("digest").GetString());
        Assert.Equal(digests[0], digests[1]);

        var file = Directory.EnumerateFiles(Path.Combine(app.Data, "files")).Single();
        var bytes = await File.ReadAllBytesAsync(file, Ct);
        bytes[bytes.Length / 2] ^= 0x40;
        File.Delete(file);
        await File.WriteAllBytesAsync(file, bytes, Ct);
        await using var again = TestApp.KeepData(await CopyAsync(app));
        await (await PredictAsync(again, "/predict", Setosa)).ShouldBeProblemAsync(503, "inference/unusable");
        Assert.NotNull((await (await again.Http.GetAsync("/models/iris", Ct)).JsonAsync()).GetProperty("problem").GetString());
    }

    /// <summary>A second server over a copy of the data.</summary>
    static async Task<TestApp> CopyAsync(TestApp app)
    {
        var copy = Path.Combine(app.Data, "copy");
        foreach (var file in Directory.EnumerateFiles(app.Data, "*", SearchOption.AllDirectories).Where(f => !f.EndsWith(".lock", StringComparison.Ordinal)).ToList())
        {
            var to = Path.Combine(copy, Path.GetRelativePath(app.Data, file));
            Directory.CreateDirectory(Path.GetDirectoryName(to)!);
            File.Copy(file, to);
        }

        var started = await TestApp.StartAsync(a => TestTokens.Use(a), copy);
        started.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "admin");
        return started;
    }

    static async Task<TestApp> StartAsync()
    {
        var app = await TestApp.StartAsync(a => TestTokens.Use(a));
        app.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "admin");
        return app;
    }

    static async Task<(int Code, string Said, string Error)> TrainAsync(TestApp app, string file, params string[] args)
    {
        using var process = Programs.Start(["model", "train", Path.Combine(Repository.Root, "samples", file), .. args, "--data", app.Data]);
        process.StandardInput.Close();
        var (said, error) = (process.StandardOutput.ReadToEndAsync(Ct), process.StandardError.ReadToEndAsync(Ct));
        await process.WaitForExitAsync(Ct);
        return (process.ExitCode, await said, await error);
    }

    static Task<HttpResponseMessage> PredictAsync(TestApp app, string path, string body, string type = "application/json") =>
        app.Http.PostAsync(path, new StringContent(body, Encoding.UTF8, type), Ct);
}
