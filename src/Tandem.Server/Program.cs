using Tandem;

var app = TandemApp.Create(args);
app.Resource<Item>("/items");
return await app.RunAsync();

record Item(string Name, decimal Price);
