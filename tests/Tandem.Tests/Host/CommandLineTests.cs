using System.Diagnostics;
using System.Text.Json;

namespace Tandem.Tests.Host;

/// <summary>The shipped program as it is called from a shell.</summary>
public sealed class CommandLineTests : IDisposable
{
    readonly string _data = Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n"));

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        if (Directory.Exists(_data))
            Directory.Delete(_data, recursive: true);
    }

    [Theory]
    [InlineData("bogus", "bogus")]
    [InlineData("serve --Http:MaxBody 3", "There is no setting Http:MaxBody. In this section: MaxBodyBytes")]
    [InlineData("serve --Http:MaxBodyBytes 3", "Http:MaxBodyBytes must be between 1024")]
    [InlineData("serve --Nowhere:X 3", "There is no setting Nowhere")]
    [InlineData("serve --urls nonsense", "no address to listen on")]
    [InlineData("serve --data", "--data needs a value")]
    public async Task Wrong_use_is_explained_and_ends_with_2(string words, string says)
    {
        var (code, output, error) = await RunAsync(words.Split(' '));
        Assert.Equal(2, code);
        Assert.Contains(says, error + output);
        Assert.DoesNotContain("   at ", error);
    }

    [Fact]
    public async Task Help_calls_the_program_as_its_user_does()
    {
        // The program is shipped under another name than its assembly's.
        var program = Path.Combine(AppContext.BaseDirectory, $"tandem-{Guid.NewGuid():n}");
        File.Copy(Path.Combine(AppContext.BaseDirectory, "Tandem.Server"), program);
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, ["grow", "--help"]) { RedirectStandardOutput = true }) ?? throw new InvalidOperationException("The program did not start.");
            var output = await process.StandardOutput.ReadToEndAsync(Ct);
            await process.WaitForExitAsync(Ct);
            Assert.Equal(0, process.ExitCode);
            Assert.Contains($"{Path.GetFileName(program)} grow [options]", output);
        }
        finally
        {
            File.Delete(program);
        }
    }

    [Fact]
    public async Task Config_tells_each_value_and_where_it_comes_from()
    {
        var (code, output, _) = await RunAsync("config", "--json", "--Jobs:Concurrency", "3");
        Assert.Equal(0, code);
        var settings = JsonDocument.Parse(output).RootElement.EnumerateArray().ToDictionary(s => s.GetProperty("key").GetString()!);
        Assert.Equal(("3", "command line"), (settings["Jobs:Concurrency"].GetProperty("value").GetString(), settings["Jobs:Concurrency"].GetProperty("source").GetString()));
        Assert.Equal("default", settings["Jobs:Lease"].GetProperty("source").GetString());
    }

    [Fact]
    public async Task Doctor_finds_nothing_on_a_good_machine_and_names_a_port_that_is_taken()
    {
        var (code, output, error) = await RunAsync("doctor", "--urls", "http://127.0.0.1:0");
        Assert.True(code == 0, output + error);
        using var listener = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        var port = ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
        (code, output, _) = await RunAsync("doctor", "--urls", $"http://127.0.0.1:{port}");
        Assert.Equal(1, code);
        Assert.Contains($"FAIL  port              {port}", output);
    }

    [Fact]
    public async Task A_server_waits_for_its_database_and_a_command_does_not()
    {
        // Nobody listens on port 1.
        string[] nobody = ["--Postgres:ConnectionString", "Host=127.0.0.1;Port=1;Database=tandem;Username=tandem"];

        var (code, output, error) = await RunAsync(["serve", "--urls", "http://127.0.0.1:0", "--Postgres:StartTimeout", "00:00:01", .. nobody]);
        Assert.Equal(1, code);
        Assert.Contains("Waiting for the database before serving", output + error);
        Assert.Contains("The database server 127.0.0.1:1/tandem does not answer", error);

        (code, output, error) = await RunAsync(["user", "list", .. nobody]);
        Assert.Equal(1, code);
        Assert.DoesNotContain("Waiting", output + error);
    }

    [Fact]
    public async Task A_second_server_on_the_same_data_says_so_and_stops()
    {
        TestStores.OnlyEmbedded();
        await using var first = await Programs.ServeAsync(_data);
        var (code, _, error) = await RunAsync("serve", "--urls", "http://127.0.0.1:0");
        Assert.Equal(2, code);
        Assert.Contains("Another server runs on the data directory", error);
    }

    [Fact]
    public async Task A_port_that_is_taken_is_said_in_one_sentence()
    {
        await using var first = await Programs.ServeAsync(_data);
        var other = _data + "-other";
        using var process = Programs.Start("serve", "--data", other, "--urls", first.Address);
        var error = await process.StandardError.ReadToEndAsync(Ct);
        await process.WaitForExitAsync(Ct);
        if (Directory.Exists(other))
            Directory.Delete(other, recursive: true);
        Assert.Equal(1, process.ExitCode);
        Assert.Contains("address already in use", error);
        Assert.DoesNotContain("   at ", error);
    }

    [Fact]
    public async Task SIGTERM_while_it_starts_ends_it_in_order()
    {
        // Somewhere in its start, which takes about half a second.
        await Parallel.ForEachAsync(Enumerable.Range(1, 8), new ParallelOptions { MaxDegreeOfParallelism = 2, CancellationToken = Ct }, async (i, ct) =>
        {
            var data = Path.Combine(_data, $"{i}");
            using var server = Programs.Start("serve", "--data", data, "--urls", "http://127.0.0.1:0", "--Log:Level", "Warning");
            var (said, complained) = (server.StandardOutput.ReadToEndAsync(ct), server.StandardError.ReadToEndAsync(ct));
            await Eventually.TrueAsync(() => Task.FromResult(server.HasExited || server.TotalProcessorTime > TimeSpan.FromMilliseconds(80 * i)));
            using (var kill = System.Diagnostics.Process.Start("kill", ["-TERM", server.Id.ToString()]))
                await kill.WaitForExitAsync(ct);
            await server.WaitForExitAsync(ct);
            Assert.True(server.ExitCode is 0 or 143, $"{server.ExitCode}: {await said}{await complained}");
            Assert.DoesNotContain("Unhandled", await said + await complained);
        });
    }

    [Fact]
    public async Task SIGTERM_finishes_the_request_in_flight()
    {
        await using var server = await Programs.ServeAsync(_data);
        // The body is held back: the request is in flight when the signal comes.
        using var client = new System.Net.Sockets.TcpClient();
        await client.ConnectAsync(new Uri(server.Address).Host, new Uri(server.Address).Port, Ct);
        var stream = client.GetStream();
        const string Body = """{"email":"late@example.com","name":"Late","password":"12345678"}""";
        await stream.WriteAsync(System.Text.Encoding.ASCII.GetBytes($"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {Body.Length}\r\n\r\n{Body[..10]}"), Ct);
        await Eventually.TrueAsync(async () => (await server.Http.GetAsync("/health", Ct)).IsSuccessStatusCode);
        using (var kill = System.Diagnostics.Process.Start("kill", ["-TERM", server.Process.Id.ToString()]))
            await kill.WaitForExitAsync(Ct);
        await stream.WriteAsync(System.Text.Encoding.ASCII.GetBytes(Body[10..]), Ct);
        using var reader = new StreamReader(stream);
        Assert.Equal("HTTP/1.1 201 Created", await reader.ReadLineAsync(Ct));
        await server.Process.WaitForExitAsync(Ct);
        Assert.Equal(0, server.Process.ExitCode);
    }

    async Task<(int Code, string Output, string Error)> RunAsync(params string[] args)
    {
        using var process = Programs.Start([.. args, .. args.Contains("--data") ? Array.Empty<string>() : ["--data", _data]]);
        process.StandardInput.Close();
        var (output, error) = (process.StandardOutput.ReadToEndAsync(Ct), process.StandardError.ReadToEndAsync(Ct));
        await process.WaitForExitAsync(Ct);
        return (process.ExitCode, await output, await error);
    }
}
