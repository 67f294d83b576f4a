using System.Net;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Http;
using Tandem.Users.CommonPasswords;

namespace Tandem.Users.Look;

/// <summary>What people are told, in one language: sentences by key, with {names} in them for what is filled in.</summary>
/// <param name="tag">BCP 47: <c>en</c>, <c>pt-BR</c>.</param>
/// <param name="sentences">By key.</param>
/// <param name="behind">Has what is missing here; null: nothing may be.</param>
sealed class Language(string tag, IReadOnlyDictionary<string, string> sentences, Language? behind)
{
    public string Tag => tag;

    /// <summary>For <c>dir</c>: scripts that are written from right to left.</summary>
    public string Direction => tag.Split('-')[0] is "ar" or "he" or "fa" or "ur" ? "rtl" : "ltr";

    public IReadOnlyDictionary<string, string> Sentences => sentences;

    /// <summary>The language of a request, as <see cref="Languages"/> has chosen it.</summary>
    public static Language Of(HttpContext http) => http.RequestServices.GetRequiredService<Languages>().Of(http);

    /// <returns>Null: there is no such sentence.</returns>
    public string? Find(string key) => sentences.TryGetValue(key, out var sentence) ? sentence : behind?.Find(key);

    /// <summary>A sentence as plain text.</summary>
    public string Say(string key, params ReadOnlySpan<(string Name, string? Value)> values) => Fill(key, values, false);

    /// <summary>A sentence as HTML. Whatever a file of languages says is text; markup comes with the values alone.</summary>
    /// <param name="values">HTML.</param>
    public string Html(string key, params ReadOnlySpan<(string Name, string? Value)> values) => Fill(key, values, true);

    /// <summary>Why something was refused. What a person meets often has a sentence in every language; the rest is in English.</summary>
    public string Say(ProblemResult refusal) =>
        refusal.Detail == refusal.Problem.Detail || refusal.Problem == HttpProblems.TooManyRequests ? Find($"problem.{refusal.Problem.Code}") ?? refusal.Detail : refusal.Detail;

    /// <summary>What is wrong with the fields of a form, said for people.</summary>
    /// <param name="faults">By field.</param>
    public IReadOnlyDictionary<string, string[]> Faults(IReadOnlyDictionary<string, string[]> faults) => faults.ToDictionary(f => f.Key, string[] (f) => f.Key switch
    {
        "email" => [Say("field.email")],
        "name" => [Say("field.name")],
        "password" when f.Value.Contains(CommonPasswordCheck.Message) => [Say("field.common-password")],
        "password" => [Say("field.password", ("least", $"{Passwords.MinLength}"), ("most", $"{Passwords.MaxLength}"))],
        _ => f.Value,
    });

    string Fill(string key, ReadOnlySpan<(string Name, string? Value)> values, bool isHtml)
    {
        var sentence = Find(key) ?? throw new InvalidOperationException($"There is no sentence {key}.");
        var text = new StringBuilder();
        for (var at = 0; at < sentence.Length;)
        {
            var open = sentence.IndexOf('{', at);
            var close = open < 0 ? -1 : sentence.IndexOf('}', open);
            var plain = close < 0 ? sentence[at..] : sentence[at..open];
            text.Append(isHtml ? WebUtility.HtmlEncode(plain) : plain);
            if (close < 0)
                break;
            foreach (var (name, value) in values)
                if (sentence.AsSpan(open + 1, close - open - 1).SequenceEqual(name))
                    text.Append(value);
            at = close + 1;
        }

        return text.ToString();
    }
}
