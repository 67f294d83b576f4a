#:property PublishAot=false
#:property GenerateDocumentationFile=false
#:property Optimize=true
// What the identity service does per second: dotnet run bench/load/identity.cs -- PROGRAM [SECONDS] [--Postgres:ConnectionString …]
// PROGRAM is the published server (artifacts/tandem/tandem); SECONDS is the length of a measurement (5), each is made three times, after 15 seconds that are not counted. Server, peer and load share the machine's
// cores; every connection asks again as soon as it has its answer. Beside it, by turns, the npm package oidc-provider with everything in memory where node and
// artifacts/tools are there (./test installs them), and PHP's argon2 as what a hash costs. The defaults' limits are lifted, since all comes from one address.
using System.Buffers.Text;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

const string Email = "bench@example.com", Secret = "only-for-the-bench", Callback = "http://127.0.0.1:9/callback";
const int Connections = 64, Rounds = 3;
// Code that is compiled while it runs is at its best after so many seconds on two cores, here and in node; a server that runs for days has long been.
const int WarmUpSeconds = 15;
var program = args[0];
var seconds = args.Length > 1 && int.TryParse(args[1], out var given) ? given : 5;
string[] settings = [.. args.Skip(1).SkipWhile(a => int.TryParse(a, out _))];
var folder = Directory.CreateTempSubdirectory("tandem-identity-bench-").FullName;
var root = Directory.GetCurrentDirectory();
var servers = new List<Server>();
try
{
    var tandem = await TandemAsync();
    servers.Add(tandem);
    if (await PeerAsync() is { } peer)
        servers.Add(peer);
    Console.WriteLine(Invariant($"{Connections} connections, {Rounds} rounds of {seconds} s by turns: the median, the least and the most"));
    Console.WriteLine();
    Console.WriteLine("| | server | per second | least to most | p50 ms | p99 ms | CPU µs each |");
    Console.WriteLine("| --- | --- | --- | --- | --- | --- | --- |");
    foreach (var server in servers)
        await SignInAsync(server);
    await CompareAsync("userinfo", servers, s => Enumerable.Repeat<Work>(
        new(Request(s, "GET", s.Path("userinfo"), $"Bearer {s.Access}")), Connections));
    await CompareAsync("introspection", servers, s => Enumerable.Repeat<Work>(
        new(Request(s, "POST", s.Path("introspection"), s.Client, $"token={s.Access}")), Connections));
    await CompareAsync("refresh with rotation", servers, s => s.Refresh.Select(token => new Work(RefreshOf(s, token), answer =>
        RefreshOf(s, JsonDocument.Parse(answer).RootElement.GetProperty("refresh_token").GetString()!))));
    await ChangeUsersAsync(tandem);
    await StormAsync(tandem);
}
finally
{
    foreach (var server in servers)
        await server.StopAsync();
    Directory.Delete(folder, recursive: true);
}

static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

async Task<Server> TandemAsync()
{
    var address = new Uri("http://127.0.0.1:18095");
    var start = new ProcessStartInfo(program, ["--urls", address.OriginalString, "--data", folder, "--Log:Level", "Warning", "--Users:Issuer", address.OriginalString + "/",
        "--Users:SignUpsPerMinutePerAddress", "0", "--Users:FailuresPerAddress", "0", "--Users:FailuresPerAccount", "0", .. settings]) { RedirectStandardOutput = true };
    start.Environment["TANDEM_ADMIN__EMAIL"] = Email;
    start.Environment["TANDEM_ADMIN__PASSWORD"] = Secret;
    var server = await Server.StartAsync("Tandem", start, address, null);
    var token = await TokenAsync(server);
    server.Admin = $"Bearer {token}";
    server.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
    using var made = await server.Http.PostAsJsonAsync("/clients", new { id = "bench", redirect_uris = new[] { Callback } });
    server.Secret = JsonDocument.Parse(await made.EnsureSuccessStatusCode().Content.ReadAsStringAsync()).RootElement.GetProperty("secret").GetString()!;
    using var key = await server.Http.PostAsJsonAsync("/keys", new { name = "directory", scopes = new[] { "scim" } });
    server.Directory = $"Bearer {JsonDocument.Parse(await key.EnsureSuccessStatusCode().Content.ReadAsStringAsync()).RootElement.GetProperty("key").GetString()}";
    return server;
}

static async Task<string> TokenAsync(Server server)
{
    using var answer = await server.Http.PostAsync("/token", new FormUrlEncodedContent(new Dictionary<string, string> { ["username"] = Email, ["password"] = Secret }));
    return JsonDocument.Parse(await answer.EnsureSuccessStatusCode().Content.ReadAsStringAsync()).RootElement.GetProperty("access_token").GetString()!;
}

async Task<Server?> PeerAsync()
{
    if (!Directory.Exists(Path.Combine(root, "artifacts/tools/node_modules/oidc-provider")))
    {
        Console.WriteLine("without oidc-provider: run ./test once, it installs it");
        return null;
    }

    var start = new ProcessStartInfo("node", ["tests/tools/provider.mjs"]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
    start.Environment["NODE_ENV"] = "production";
    var address = new Uri("http://127.0.0.1:18096");
    var peer = await Server.StartAsync("oidc-provider", start, address, JsonSerializer.Serialize(new
    {
        client_id = "bench", client_secret = Secret, redirect_uri = Callback, email = Email, port = address.Port, rotate = true,
    }));
    peer.Secret = Secret;
    return peer;
}

// The code flow as a browser without JavaScript goes through it, once for each connection: a session each.
static async Task SignInAsync(Server server)
{
    for (var i = 0; i < Connections; i++)
    {
        var verifier = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        var challenge = Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(verifier)));
        using var browser = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false }) { BaseAddress = server.Address };
        var at = new Uri(server.Address, server.Path("authorization") + $"?client_id=bench&response_type=code&redirect_uri={Callback}&scope=openid%20offline_access%20email%20profile&prompt=consent"
            + $"&code_challenge={challenge}&code_challenge_method=S256&state=x");
        var answer = await browser.GetAsync(at);
        for (var step = 0; step < 20; step++)
        {
            if (answer.Headers.Location is { } location)
            {
                at = new Uri(at, location);
                if (at.AbsoluteUri.StartsWith(Callback, StringComparison.Ordinal))
                    break;
                answer = await browser.GetAsync(at);
                continue;
            }

            var page = await answer.Content.ReadAsStringAsync();
            var fields = Regex.Matches(page, """<input type="hidden" name="([^"]*)" value="([^"]*)"\s*/?>""").Select(m => KeyValuePair.Create(m.Groups[1].Value, WebUtility.HtmlDecode(m.Groups[2].Value))).ToList();
            fields.AddRange(new Dictionary<string, string> { ["email"] = Email, ["login"] = Email, ["password"] = Secret, ["action"] = page.Contains("value=\"allow\"", StringComparison.Ordinal) ? "allow" : "sign-in" });
            if (Regex.Match(page, "<form[^>]* action=\"([^\"]+)\"") is { Success: true } form)
                at = new Uri(at, WebUtility.HtmlDecode(form.Groups[1].Value));
            answer = await browser.PostAsync(at, new FormUrlEncodedContent(fields));
        }

        var code = Regex.Match(at.Query, "[?&]code=([^&]*)").Groups[1].Value;
        using var exchange = new HttpRequestMessage(HttpMethod.Post, server.Path("token"))
        {
            Content = new FormUrlEncodedContent(new Dictionary<string, string> { ["grant_type"] = "authorization_code", ["code"] = Uri.UnescapeDataString(code), ["redirect_uri"] = Callback, ["code_verifier"] = verifier }),
            Headers = { Authorization = AuthenticationHeaderValue.Parse(server.Client) },
        };
        using var tokens = await server.Http.SendAsync(exchange);
        var body = await tokens.Content.ReadAsStringAsync();
        if (!tokens.IsSuccessStatusCode)
            throw new InvalidOperationException($"{server.Name} gives no token: {body}");
        var json = JsonDocument.Parse(body).RootElement;
        server.Access = json.GetProperty("access_token").GetString()!;
        server.Refresh.Add(json.GetProperty("refresh_token").GetString()!);
    }
}

static byte[] RefreshOf(Server server, string token) => Request(server, "POST", server.Path("token"), server.Client, $"grant_type=refresh_token&refresh_token={token}");

static byte[] Request(Server server, string method, string path, string authorization, string? body = null, string type = "application/x-www-form-urlencoded") => Encoding.UTF8.GetBytes(
    $"{method} {path} HTTP/1.1\r\nHost: {server.Address.Authority}\r\nAuthorization: {authorization}\r\n{(body is null ? "" : $"Content-Type: {type}\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n")}\r\n{body}");

async Task CompareAsync(string what, IReadOnlyList<Server> servers, Func<Server, IEnumerable<Work>> works)
{
    var all = servers.Select(s => (Server: s, Works: works(s).ToArray(), Results: new List<Result>())).ToList();
    foreach (var (server, own, _) in all)
        await LoadAsync(server, own, TimeSpan.FromSeconds(WarmUpSeconds));
    for (var round = 0; round < Rounds; round++)
        foreach (var (server, own, results) in all)
            results.Add(await LoadAsync(server, own, TimeSpan.FromSeconds(seconds)));
    foreach (var (server, _, results) in all)
        Print(what, server.Name, results);
}

static void Print(string what, string server, List<Result> results)
{
    results.Sort((a, b) => a.Rate.CompareTo(b.Rate));
    var median = results[results.Count / 2];
    Console.WriteLine(Invariant($"| {what} | {server} | {median.Rate:N0} | {results[0].Rate:N0} to {results[^1].Rate:N0} | {median.P50:F1} | {median.P99:F1} | {median.Cpu:F0} |"));
}

// Each work goes on over a connection of its own; what has an answer's next request comes from it.
static async Task<Result> LoadAsync(Server server, Work[] works, TimeSpan time)
{
    var (began, cpu) = (Stopwatch.GetTimestamp(), server.CpuSeconds());
    var until = began + (long)(time.TotalSeconds * Stopwatch.Frequency);
    var taken = await Task.WhenAll(works.Select(work => Task.Run(async () =>
    {
        var times = new List<double>();
        using var wire = await Wire.OpenAsync(server.Address);
        while (Stopwatch.GetTimestamp() is var from && from < until)
        {
            var answer = await wire.AskAsync(work.Request);
            times.Add(Stopwatch.GetElapsedTime(from).TotalMilliseconds);
            if (work.Next is { } next)
                work.Request = next(answer);
        }

        return times;
    })));
    var elapsed = Stopwatch.GetElapsedTime(began).TotalSeconds;
    double[] sorted = [.. taken.SelectMany(t => t).Order()];
    return new Result(sorted.Length / elapsed, Quantile(sorted, 0.5), Quantile(sorted, 0.99), sorted.Max(), (server.CpuSeconds() - cpu) / sorted.Length * 1e6);
}

static double Quantile(double[] sorted, double q) => sorted[Math.Min(sorted.Length - 1, (int)(sorted.Length * q))];

// Made by a directory (SCIM, without a password), changed and deleted by an administrator; every answer is durable.
async Task ChangeUsersAsync(Server server)
{
    var made = 0;
    byte[] Create() => Request(server, "POST", "/scim/v2/Users", server.Directory,
        $$"""{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"u{{Interlocked.Increment(ref made)}}@example.com","displayName":"A person"}""", "application/scim+json");
    byte[] Patch(string id) => Request(server, "PATCH", $"/users/{id}", server.Admin, """{"name":"Another name"}""", "application/json");
    byte[] Delete(string id) => Request(server, "DELETE", $"/users/{id}", server.Admin);
    var ids = new string[Connections];
    await CompareAsync("user created, patched, deleted (each counts)", [server], _ => Enumerable.Range(0, Connections).Select(i =>
    {
        var step = 0;
        return new Work(Create(), answer =>
        {
            switch (step++ % 3)
            {
                case 0:
                    ids[i] = JsonDocument.Parse(answer).RootElement.GetProperty("id").GetString()!;
                    return Patch(ids[i]);
                case 1:
                    return Delete(ids[i]);
                default:
                    return Create();
            }
        });
    }));
    await CompareAsync("user created", [server], _ => Enumerable.Range(0, Connections).Select(i => new Work(Create(), _ => Create())));
    var existing = JsonDocument.Parse(await server.Http.GetStringAsync($"/users?sort=-id&limit={Connections}")).RootElement.EnumerateArray().Select(u => u.GetProperty("id").GetInt64()).ToArray();
    await CompareAsync("user patched", [server], _ => existing.Select((id, i) => new Work(Patch(id.ToString(CultureInfo.InvariantCulture)), _ =>
        Request(server, "PATCH", $"/users/{id}", server.Admin, $$"""{"name":"Name {{Interlocked.Increment(ref made)}}"}""", "application/json"))));
    await CompareAsync("user read with a token", [server], _ => existing.Select(id => new Work(Request(server, "GET", $"/users/{id}", server.Admin))));
}

// Sign-ins as fast as they come, and bearer reads at a fixed rate beside them, counted from the instant they were planned for.
async Task StormAsync(Server server)
{
    const int Rate = 1000, Readers = 32;
    var signIn = Request(server, "POST", "/token", "Basic", $"username={Email}&password={Secret}");
    var read = Request(server, "GET", "/users/1", server.Admin);
    var time = TimeSpan.FromSeconds(Math.Max(10, 2 * seconds));
    await LoadAsync(server, [.. Enumerable.Range(0, 8).Select(_ => new Work(signIn))], TimeSpan.FromSeconds(WarmUpSeconds));
    var alone = await LoadAsync(server, [.. Enumerable.Range(0, 8).Select(_ => new Work(signIn))], time);
    Print("password sign-in", server.Name, [alone]);
    if (await HashesAsync() is { } hashes)
        Console.WriteLine(Invariant($"| argon2id of the same cost in PHP, {Environment.ProcessorCount} processes, nothing else | PHP | {hashes:N0} | | | | {Environment.ProcessorCount / hashes * 1e6:F0} |"));
    foreach (var clients in new[] { 0, 8, 64 })
    {
        var storm = clients == 0 ? Task.FromResult<Result?>(null) : Task.Run(async () => (Result?)await LoadAsync(server, [.. Enumerable.Range(0, clients).Select(_ => new Work(signIn))], time));
        var reads = await ReadAsync(server, read, Rate, Readers, time - TimeSpan.FromSeconds(1));
        var during = await storm;
        Console.WriteLine(Invariant($"| {Rate:N0} bearer reads/s, open loop, beside {clients} clients that sign in | {server.Name} | {during?.Rate ?? 0:N0} sign-ins | | {Quantile(reads, 0.5):F1} | {Quantile(reads, 0.99):F1} (most {reads[^1]:F1}) | |"));
    }
}

static async Task<double[]> ReadAsync(Server server, byte[] request, int rate, int readers, TimeSpan time)
{
    var began = Stopwatch.GetTimestamp();
    var count = (int)(rate * time.TotalSeconds);
    var taken = await Task.WhenAll(Enumerable.Range(0, readers).Select(reader => Task.Run(async () =>
    {
        var times = new List<double>();
        using var wire = await Wire.OpenAsync(server.Address);
        for (var k = reader; k < count; k += readers)
        {
            var planned = began + (long)((double)k / rate * Stopwatch.Frequency);
            if (Stopwatch.GetTimestamp() is var now && now < planned)
                await Task.Delay(Stopwatch.GetElapsedTime(now, planned));
            await wire.AskAsync(request);
            times.Add(Stopwatch.GetElapsedTime(planned).TotalMilliseconds);
        }

        return times;
    })));
    return [.. taken.SelectMany(t => t).Order()];
}

// As many processes as cores, each verifying one hash again and again: what the machine can do at that cost.
static async Task<double?> HashesAsync()
{
    const string Script = """
        $h = password_hash('only-for-the-bench', PASSWORD_ARGON2ID, ['memory_cost' => 19456, 'time_cost' => 2, 'threads' => 1]);
        $n = 0; $t = microtime(true); while (microtime(true) - $t < 5) { password_verify('only-for-the-bench', $h); $n++; } echo $n / (microtime(true) - $t);
        """;
    try
    {
        var rates = await Task.WhenAll(Enumerable.Range(0, Environment.ProcessorCount).Select(async _ =>
        {
            using var php = Process.Start(new ProcessStartInfo("php", ["-r", Script]) { RedirectStandardOutput = true })!;
            var said = await php.StandardOutput.ReadToEndAsync();
            await php.WaitForExitAsync();
            return double.Parse(said, CultureInfo.InvariantCulture);
        }));
        return rates.Sum();
    }
    catch (System.ComponentModel.Win32Exception)
    {
        Console.WriteLine("without PHP's argon2: php is missing");
        return null;
    }
}

sealed record Result(double Rate, double P50, double P99, double Most, double Cpu);

sealed class Work(byte[] request, Func<ReadOnlyMemory<byte>, byte[]>? next = null)
{
    public byte[] Request { get; set; } = request;
    public Func<ReadOnlyMemory<byte>, byte[]>? Next { get; } = next;
}

/// <summary>A server that is measured, with what is needed to ask it.</summary>
sealed class Server(string name, Process process, Uri address)
{
    JsonElement _discovery;

    public string Name => name;
    public Uri Address => address;
    public HttpClient Http { get; } = new() { BaseAddress = address, Timeout = TimeSpan.FromMinutes(1) };
    public string Secret { get; set; } = "";
    public string Client => $"Basic {Convert.ToBase64String(Encoding.ASCII.GetBytes($"bench:{Secret}"))}";
    public string Admin { get; set; } = "";
    public string Directory { get; set; } = "";
    public string Access { get; set; } = "";
    public List<string> Refresh { get; } = [];

    public static async Task<Server> StartAsync(string name, ProcessStartInfo start, Uri address, string? said)
    {
        var process = Process.Start(start)!;
        // Nothing it prints may fill the pipe.
        process.OutputDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        if (start.RedirectStandardError)
        {
            process.ErrorDataReceived += (_, _) => { };
            process.BeginErrorReadLine();
        }

        if (said is not null)
        {
            await process.StandardInput.WriteAsync(said);
            process.StandardInput.Close();
        }

        var server = new Server(name, process, address);
        for (var i = 0; i < 300; i++)
            try
            {
                server._discovery = JsonDocument.Parse(await server.Http.GetStringAsync("/.well-known/openid-configuration")).RootElement;
                return server;
            }
            catch (HttpRequestException)
            {
                await Task.Delay(100);
            }

        process.Kill();
        throw new InvalidOperationException($"{name} does not come up");
    }

    /// <summary>Of an endpoint of the discovery document.</summary>
    public string Path(string endpoint) => new Uri(_discovery.GetProperty(endpoint + "_endpoint").GetString()!).AbsolutePath;

    public double CpuSeconds()
    {
        process.Refresh();
        return process.TotalProcessorTime.TotalSeconds;
    }

    public async Task StopAsync()
    {
        using (var kill = Process.Start("kill", ["-TERM", process.Id.ToString(CultureInfo.InvariantCulture)]))
            await kill.WaitForExitAsync();
        await process.WaitForExitAsync();
        process.Dispose();
        Http.Dispose();
    }
}

/// <summary>A connection that is kept, one request at a time.</summary>
sealed class Wire(Socket socket) : IDisposable
{
    byte[] _buffer = new byte[16 * 1024];

    public static async Task<Wire> OpenAsync(Uri address)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPEndPoint.Parse(address.Authority));
        return new Wire(socket);
    }

    /// <returns>The body; good until the next question.</returns>
    /// <exception cref="InvalidOperationException">The answer is not 2xx: what is measured must work.</exception>
    public async ValueTask<ReadOnlyMemory<byte>> AskAsync(byte[] request)
    {
        await socket.SendAsync(request);
        for (var (length, head, size) = (0, 0, -1); ;)
        {
            if (length == _buffer.Length)
                Array.Resize(ref _buffer, 2 * length);
            var read = await socket.ReceiveAsync(_buffer.AsMemory(length));
            if (read == 0)
                throw new InvalidOperationException("The server closed the connection.");
            length += read;
            if (head == 0 && _buffer.AsSpan(0, length).IndexOf("\r\n\r\n"u8) is >= 0 and var at)
                (head, size) = (at + 4, BodyLength(_buffer.AsSpan(0, at + 2)));
            // Without a length it comes in chunks, of which the last one is empty.
            if (head == 0 || size >= 0 && length < head + size || size < 0 && !_buffer.AsSpan(head, length - head).EndsWith("0\r\n\r\n"u8))
                continue;
            if (_buffer[9] != '2')
                throw new InvalidOperationException(Encoding.UTF8.GetString(_buffer, 0, length));
            return size >= 0 ? _buffer.AsMemory(head, size) : Joined(_buffer.AsSpan(head, length - head));
        }
    }

    static int BodyLength(ReadOnlySpan<byte> head)
    {
        foreach (var line in head.Split("\r\n"u8))
            if (head[line] is { Length: > 15 } field && Ascii.EqualsIgnoreCase(field[..15], "Content-Length:"u8))
                return int.Parse(field[15..].Trim((byte)' '), CultureInfo.InvariantCulture);
        return head[9..12].SequenceEqual("204"u8) ? 0 : -1;
    }

    static byte[] Joined(ReadOnlySpan<byte> chunks)
    {
        using var body = new MemoryStream();
        while (int.Parse(chunks[..chunks.IndexOf("\r\n"u8)], NumberStyles.HexNumber, CultureInfo.InvariantCulture) is > 0 and var size)
        {
            chunks = chunks[(chunks.IndexOf("\r\n"u8) + 2)..];
            body.Write(chunks[..size]);
            chunks = chunks[(size + 2)..];
        }

        return body.ToArray();
    }

    public void Dispose() => socket.Dispose();
}
