using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using Tandem.Core.Configuration;
using Tandem.Users.CommonPasswords;

namespace Tandem.Tests.Users;

public sealed class CommonPasswordTests : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("tandem-filter-").FullName;

    static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    string At(string name) => Path.Combine(_folder, name);

    static string Sha1(string password) => Convert.ToHexString(SHA1.HashData(Encoding.UTF8.GetBytes(password)));

    async Task<string> BuildAsync(IEnumerable<string> lines, params string[] more)
    {
        await File.WriteAllLinesAsync(At("list.txt"), lines, Ct);
        var (code, _, error) = await CommandTests.RunAsync(_folder, "", ["password-filter", "build", At("list.txt"), "--out", At("made.filter"), .. more]);
        Assert.True(code == 0, error);
        return At("made.filter");
    }

    [Theory]
    [InlineData("12345678")]
    [InlineData("password123")]
    [InlineData("PassWord123")]
    [InlineData("qwertyuiop")]
    public async Task What_is_tried_first_is_refused_wherever_a_password_is_set(string password)
    {
        await using var app = await TestApp.StartAsync(settings: ["--Users:RefuseCommonPasswords", "true"]);
        using var person = await app.PersonAsync();
        await app.Http.PostAsJsonAsync("/auth/password/reset", new { email = person.Email }, Ct);
        var token = (await app.MailAsync(person.Email, "A new password")).Token;
        foreach (var response in new[]
        {
            await app.Http.PostAsJsonAsync("/users", new { email = TestUsers.NewEmail(), name = "Ada", password }, Ct),
            await app.Http.PostAsJsonAsync("/auth/password", new { token, password }, Ct),
            await person.Http.PutAsJsonAsync("/auth/password", new { password }, Ct),
        })
        {
            var problem = await response.ShouldBeProblemAsync(422, "http/invalid");
            Assert.Contains("tried first", problem.GetProperty("errors").GetProperty("password")[0].GetString());
            Assert.DoesNotContain(password, problem.GetRawText());
        }

        var page = await app.Http.PostAsync("/auth/pages/password", new FormUrlEncodedContent(new Dictionary<string, string> { ["token"] = token, ["password"] = password }), Ct);
        Assert.Equal(422, (int)page.StatusCode);
        Assert.Contains("tried first", await page.Content.ReadAsStringAsync(Ct));
        var (code, _, error) = await CommandTests.RunAsync(app.Data, password + "\n", "user", "create", "root@example.com", "--password-stdin", "--Users:RefuseCommonPasswords", "true");
        Assert.Equal(2, code);
        Assert.Contains("tried first", error);
        // The link was not used up by any of it.
        await (await app.Http.PostAsJsonAsync("/auth/password", new { token, password = "another horse battery" }, Ct)).JsonlessAsync(204);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true, "--Users:PublicUrl", "https://id.example.com")]
    [InlineData(false, "--Users:PublicUrl", "https://id.example.com", "--Users:RefuseCommonPasswords", "false")]
    public async Task On_a_laptop_any_eight_characters_do_and_where_the_public_comes_they_do_not(bool refused, params string[] settings)
    {
        await using var app = await TestApp.StartAsync(settings: settings);
        var response = await app.Http.PostAsJsonAsync("/users", new { email = TestUsers.NewEmail(), name = "Ada", password = "12345678" }, Ct);
        Assert.Equal(refused ? 422 : 201, (int)response.StatusCode);
    }

    [Fact]
    public async Task A_list_of_ones_own_is_refused_as_well()
    {
        var filter = await BuildAsync([$"{Sha1("tandem rides at dawn")}:7", $"{Sha1("seen but once")}:1"], "--min-count", "2");
        await using var app = await TestApp.StartAsync(settings: ["--Users:PasswordFilter", filter]);

        await (await SignUpAsync("tandem rides at dawn")).ShouldBeProblemAsync(422, "http/invalid");
        await (await SignUpAsync("12345678")).ShouldBeProblemAsync(422, "http/invalid");
        await (await SignUpAsync("seen but once")).JsonAsync(201);

        Task<HttpResponseMessage> SignUpAsync(string password) => app.Http.PostAsJsonAsync("/users", new { email = TestUsers.NewEmail(), name = "Ada", password }, Ct);
    }

    [Fact]
    [Storeless("A command on files.")]
    public async Task A_filter_has_everything_of_its_list_and_hardly_anything_else()
    {
        const int Count = 100_000;
        var filter = await BuildAsync(Enumerable.Range(0, Count).Select(i => $"{Sha1($"listed {i}")}:{i + 1}"), "--false-positives", "0.001");

        using var opened = PasswordFilter.Open(filter);
        Assert.Equal(Count, opened.Entries);
        // 14.4 bits an entry.
        Assert.InRange(new FileInfo(filter).Length, Count * 14.3 / 8, Count * 14.5 / 8);
        Assert.All(Enumerable.Range(0, Count), i => Assert.True(opened.Contains($"listed {i}")));
        // Expected are 100 of 100,000; four standard deviations around it.
        Assert.InRange(Enumerable.Range(0, Count).Count(i => opened.Contains($"another {i}")), 60, 140);
    }

    [Fact]
    [Storeless("A command on files.")]
    public async Task The_command_reads_words_shows_how_far_it_is_and_says_what_is_in_a_filter()
    {
        await File.WriteAllLinesAsync(At("words.txt"), ["short", "long enough", "grüße an alle"], Ct);
        var (code, output, error) = await CommandTests.RunAsync(_folder, "", "password-filter", "build", At("words.txt"), "--out", At("words.filter"), "--words", "--false-positives", "0.0000001");
        Assert.Equal(0, code);
        Assert.StartsWith($"{At("words.filter")}: 2 passwords in ", output);
        Assert.Contains("100 %  2 entries", error);

        Assert.Equal((0, "not listed\nlisted\nlisted\nnot listed\n", ""), await CommandTests.RunAsync(_folder, "short\nLong Enough\ngrüße an alle\nanything else\n", "password-filter", "check", At("words.filter")));
        Assert.Equal((0, "listed\nnot listed\n", ""), await CommandTests.RunAsync(_folder, "iloveyou1\ncorrect horse battery\n", "password-filter", "check"));
    }

    [Theory]
    [InlineData("no hash at all", "line 1")]
    [InlineData("0123456789ABCDEF0123456789ABCDEF01234567", "line 1")]
    [InlineData("0123456789ABCDEF0123456789ABCDEF0123456G:1", "line 1")]
    [InlineData("0123456789ABCDEF0123456789ABCDEF01234567:many", "line 1")]
    [InlineData("", "no entry")]
    [Storeless("A command on files.")]
    public async Task A_list_that_is_none_is_refused_with_its_line_and_leaves_nothing(string line, string said)
    {
        await File.WriteAllLinesAsync(At("list.txt"), [line], Ct);
        var (code, _, error) = await CommandTests.RunAsync(_folder, "", "password-filter", "build", At("list.txt"), "--out", At("made.filter"));
        Assert.Equal(1, code);
        Assert.Contains(said, error);
        Assert.Empty(Directory.GetFiles(_folder, "made*"));
    }

    [Fact]
    public async Task A_filter_that_is_none_or_not_whole_stops_the_start()
    {
        var filter = await BuildAsync([$"{Sha1("tandem rides at dawn")}:7"]);
        var whole = await File.ReadAllBytesAsync(filter, Ct);
        await File.WriteAllTextAsync(At("text"), "this is no filter", Ct);
        await File.WriteAllBytesAsync(At("cut"), whole[..^1], Ct);
        await File.WriteAllBytesAsync(At("empty"), [], Ct);
        foreach (var name in new[] { "text", "cut", "empty", "missing" })
            Assert.Contains("Users:PasswordFilter", (await Assert.ThrowsAsync<ConfigurationException>(() => TestApp.StartAsync(settings: ["--Users:PasswordFilter", At(name)]))).Message);
    }
}
